"""Each of Hero's reports is counted again here, in Python, from the rows that lie in the tables."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rollover.exports import reports_of
from tests.exports.conftest import YEAR, ZONE, Rows, World

CSV_REPORTS = [name for name, report in reports_of("hero").items() if report.format == "csv"]


def lines_of(world: World, folder: Path, report: str, **more: Any) -> list[dict[str, str]]:
    (receipt,) = world.write("hero", report, folder, **more)
    with (folder / receipt.file).open(encoding="utf-8-sig", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert receipt.rows == len(lines)
    return lines


def as_text(rows: Rows) -> list[dict[str, str]]:
    """Rows as a CSV file has them: no value is an empty cell, and no cell is a formula."""

    def cell(value: Any) -> str:
        said = "" if value is None else str(value)
        return f"'{said}" if isinstance(value, str) and said[:1] in ("=", "+", "-", "@") else said

    return [{name: cell(value) for name, value in row.items()} for row in rows]


def in_any_order(rows: Iterable[dict[str, str]]) -> list[tuple[tuple[str, str], ...]]:
    return sorted(tuple(row.items()) for row in rows)


class Recount:
    """What the reports should say, from the tables alone."""

    def __init__(self, world: World) -> None:
        self.schools, self.people = world.schools(), world.people("hero")
        self.codes = {row["code_id"]: row for row in world.rows("hero.behavior_codes")}
        self.actions = {row["action_id"]: row["name"] for row in world.rows("hero.action_settings")}
        self.events = world.rows("hero.tracking_events")
        self.assignments = world.rows("hero.action_assignments")
        self.entries = [row for row in world.rows("hero.points_ledger") if row["kind"] != "reset"]
        for event in self.events:
            event["local"] = event["occurred_at"].astimezone(ZONE)
            event["code"] = self.codes.get(event["code_id"], {"name": None, "kind": None})

    def student(self, school_id: str, student_id: str) -> dict[str, Any]:
        person = self.people.get(student_id, {})
        return {
            "school": self.schools[school_id],
            "student_id": student_id,
            "last_name": person.get("family_name"),
            "first_name": person.get("given_name"),
            "grade": person.get("grade"),
        }

    def counts(self, events: Rows) -> dict[str, int]:
        kinds = Counter(event["code"]["kind"] for event in events)
        return {
            "events": len(events),
            "positive": kinds["positive"],
            "negative": kinds["negative"],
            "tardies": kinds["tardy"],
            "students": len({event["student_id"] for event in events}),
            "points": sum(event["points"] for event in events),
        }

    def grouped(self, *key: Callable[[dict[str, Any]], Any]) -> dict[tuple[Any, ...], Rows]:
        groups = defaultdict(list)
        for event in self.events:
            groups[tuple(part(event) for part in key)].append(event)
        return groups

    def behavior_history(self) -> Rows:
        assigned = defaultdict(list)
        for row in self.assignments:
            assigned[row["event_id"]].append(row)
        return [
            {
                **self.student(event["school_id"], event["student_id"]),
                "date": event["local"].date(),
                "time": event["local"].time(),
                "behavior": event["code"]["name"],
                "kind": event["code"]["kind"],
                "points": event["points"],
                "location": event["location"],
                "tracked_by": event["employee_id"],
                "comment": event["comment"],
                "consequence": row and self.actions[row["action_id"]],
                "assigned_on": row and row["assigned_on"],
                "served_on": row and row["served_on"],
            }
            for event in self.events
            for row in assigned.get(event["event_id"], [None])
        ]

    def schoolwide_points(self) -> Rows:
        groups = defaultdict(list)
        for entry in self.entries:
            groups[entry["school_id"], entry["student_id"]].append(entry)
        found = []
        for (school_id, student_id), entries in groups.items():
            sums = Counter[str]()
            for entry in entries:
                sums[entry["kind"]] += entry["points"]
            found.append(
                {
                    "school_id": school_id,
                    **self.student(school_id, student_id),
                    "earned": sums["earned"],
                    "redeemed": -sums["redeemed"],
                    "adjusted": sums["adjusted"],
                    "balance": sums.total(),
                }
            )
        return found

    def events_by_code(self) -> Rows:
        return [
            {
                "school": self.schools[school_id],
                "code_id": code_id,
                "behavior": events[0]["code"]["name"],
                "kind": events[0]["code"]["kind"],
                "events": len(events),
                "students": len({event["student_id"] for event in events}),
                "teachers": len({event["employee_id"] for event in events}),
                "points": sum(event["points"] for event in events),
            }
            for (school_id, code_id), events in self.grouped(lambda e: e["school_id"], lambda e: e["code_id"]).items()
        ]

    def events_by_teacher(self) -> Rows:
        groups = self.grouped(lambda e: e["school_id"], lambda e: e["employee_id"])
        return [
            {
                "school": self.schools[school_id],
                "employee_id": employee_id,
                "last_name": self.people[employee_id]["family_name"],
                "first_name": self.people[employee_id]["given_name"],
                **self.counts(events),
            }
            for (school_id, employee_id), events in groups.items()
        ]

    def events_by_day(self) -> Rows:
        groups = self.grouped(lambda e: e["school_id"], lambda e: e["local"].date())
        return [
            {"school": self.schools[school_id], "date": day, "weekday": f"{day:%A}", **self.counts(events)}
            for (school_id, day), events in groups.items()
        ]

    def events_by_location(self) -> Rows:
        groups = self.grouped(lambda e: e["school_id"], lambda e: e["location"])
        return [
            {"school": self.schools[school_id], "location": location, **self.counts(events)}
            for (school_id, location), events in groups.items()
        ]

    def consequences(self) -> Rows:
        events = {event["event_id"]: event for event in self.events}
        return [
            {
                **self.student(row["school_id"], row["student_id"]),
                "action_id": row["action_id"],
                "consequence": self.actions[row["action_id"]],
                "behavior": events[row["event_id"]]["code"]["name"],
                "behavior_on": events[row["event_id"]]["local"].date(),
                "assigned_on": row["assigned_on"],
                "served_on": row["served_on"],
                "served": "yes" if row["served_on"] else "no",
                "days_until_served": row["served_on"] and (row["served_on"] - row["assigned_on"]).days,
            }
            for row in self.assignments
        ]

    def tardies(self) -> Rows:
        groups = self.grouped(lambda e: e["school_id"], lambda e: e["student_id"], lambda e: e["code_id"])
        found = []
        for (school_id, student_id, code_id), events in groups.items():
            days = {event["local"].date() for event in events}
            if code_id in self.codes and self.codes[code_id]["kind"] == "tardy":
                found.append(
                    {
                        **self.student(school_id, student_id),
                        "tardy": self.codes[code_id]["name"],
                        "tardies": len(events),
                        "days": len(days),
                        "first_on": min(days),
                        "last_on": max(days),
                    }
                )
        return found

    def school_activity(self) -> Rows:
        found = []
        for (school_id,), events in self.grouped(lambda e: e["school_id"]).items():
            days = {event["local"].date() for event in events}
            assigned = [row for row in self.assignments if row["school_id"] == school_id]
            sums = Counter[str]()
            for entry in self.entries:
                if entry["school_id"] == school_id:
                    sums[entry["kind"]] += entry["points"]
            counts = self.counts(events)
            del counts["points"]
            found.append(
                {
                    "school_id": school_id,
                    "school": self.schools[school_id],
                    **counts,
                    "teachers": len({event["employee_id"] for event in events}),
                    "days": len(days),
                    "first_on": min(days),
                    "last_on": max(days),
                    "consequences_assigned": len(assigned),
                    "consequences_served": sum(row["served_on"] is not None for row in assigned),
                    "points_earned": sums["earned"],
                    "points_redeemed": -sums["redeemed"],
                    "points_adjusted": sums["adjusted"],
                }
            )
        return found


@pytest.fixture(scope="module")
def recount(world: World) -> Recount:
    return Recount(world)


@pytest.mark.parametrize("report", CSV_REPORTS)
def test_a_report_says_what_the_tables_hold(world: World, recount: Recount, tmp_path: Path, report: str) -> None:
    expected = as_text(getattr(recount, report)())
    assert len(expected) >= 2
    lines = lines_of(world, tmp_path, report)
    assert list(lines[0]) == list(reports_of("hero")[report].columns)
    assert in_any_order(lines) == in_any_order(expected)


def test_a_students_history_stands_together_oldest_first(world: World, tmp_path: Path) -> None:
    lines = lines_of(world, tmp_path, "behavior_history")
    places = [(line["school"], line["student_id"]) for line in lines]
    assert len({*places}) == 1 + sum(a != b for a, b in pairwise(places))
    when = [(place, line["date"], line["time"]) for place, line in zip(places, lines, strict=True)]
    assert all(a <= b for a, b in pairwise(when) if a[0] == b[0])


@pytest.mark.parametrize("report", CSV_REPORTS)
def test_a_past_year_is_counted_for_itself(world: World, tmp_path: Path, report: str) -> None:
    this = lines_of(world, tmp_path / "this", report)
    past = lines_of(world, tmp_path / "past", report, year=YEAR.previous.key, is_current=False)
    assert past and this != past


@pytest.mark.parametrize("report", CSV_REPORTS)
def test_a_year_without_data_is_blank(world: World, tmp_path: Path, report: str) -> None:
    (receipt,) = world.write("hero", report, tmp_path, year=YEAR.next.key)
    assert receipt.rows == 0
    header = (tmp_path / receipt.file).read_text(encoding="utf-8-sig").strip()
    assert header == ",".join(reports_of("hero")[report].columns)


def test_no_cell_is_a_formula(world: World, tmp_path: Path) -> None:
    for line in lines_of(world, tmp_path, "behavior_history"):
        assert not any(value.startswith(("=", "+", "@")) for value in line.values())
    assert '\'+Đan, "Thanh"' in {line["first_name"] for line in lines_of(world, tmp_path, "schoolwide_points")}
