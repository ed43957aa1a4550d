"""An independent check of a season: what had to go is gone, what is kept is the same, and nothing else moved.

It knows the vendor's published rules and the tables, and nothing of the product's code: it imports none of it,
reads two snapshots of the database (one Parquet per table) and decides on its own which school's data had to be
archived. Archive files are opened and compared with the rows that were there.

Run: ``python tests/rules_check.py BEFORE AFTER``; prints each violation, exits with 1 if there is one.
No message holds a personal value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pandas as pd

Tables = Mapping[str, pd.DataFrame]
ReadArchive = Callable[[str], pd.DataFrame]

# Rows of a finished school year: none may be left.
ACTIVITY = {
    "hero": ("tracking_events", "action_assignments", "points_ledger"),
    "imagine_math": ("assessments", "progress", "usage", "pathways"),
    "imagine_math_facts": ("assessments", "progress", "usage"),
}
# The same row for row, before and after.
KEPT = {
    "hero": (
        "behavior_codes",
        "action_settings",
        "bell_schedules",
        "email_templates",
        "student_logins",
        "parent_logins",
        "employee_logins",
    ),
    "imagine_math": ("educator_accounts",),
    "imagine_math_facts": ("educator_accounts",),
}
# Every row of before is gone; what is there now belongs to new accounts.
RENEWED = {
    "hero": {},
    "imagine_math": {
        "student_accounts": "account_id",
        "classrooms": "classroom_id",
        "classroom_students": "account_id",
        "think_points": "account_id",
        "avatars": "account_id",
    },
    "imagine_math_facts": {
        "student_accounts": "account_id",
        "classrooms": "classroom_id",
        "classroom_students": "account_id",
    },
}
# Table: the columns that are off, or 0, for every row.
SWITCHED_OFF = {
    "point_balances": ("balance",),
    "notification_settings": ("sending",),
    "portal_settings": ("students_see_schedules", "parents_see_schedules"),
}
GRADES = ("PK", "KG", *(f"{n:02d}" for n in range(1, 13)))
LOWER_BAND = ("PK", "KG", "01", "02")


def check(before: Tables, after: Tables, read_archive: ReadArchive) -> list[str]:
    """Every violation of the rules between two snapshots, as a sentence each."""
    found = [*_directory(before, after), *_strangers(before, after), *_tables_without_rule(before)]
    if after["ledger.rollovers"].empty:
        found.append("no tenant was rolled over: there is nothing to check")
    for tenant in before["directory.tenants"].to_dict("records"):
        found += _tenant(before, after, tenant, read_archive)
    return found


def _is_held(before: Tables, after: Tables, tenant_id: str, rows: pd.DataFrame) -> pd.Series:
    """Which rows of a product's table an open hold is on: of the district, a school or a student."""
    held = pd.Series(data=False, index=rows.index)
    if "ledger.holds" not in after:
        return held
    holds = _of(after["ledger.holds"], tenant_id)
    holds = holds[holds["lifted_at"].isna()]
    if (holds["school_id"].isna() & holds["student_id"].isna()).any():
        return ~held
    students = set(holds["student_id"].dropna())
    held |= rows["school_id"].isin(set(holds["school_id"].dropna()))
    held |= rows[[name for name in ("student_id", "person_id") if name in rows]].isin(students).any(axis=1)
    accounts = before.get(f"{tenant_id.partition('__')[0]}.student_accounts")
    if accounts is not None and "account_id" in rows:
        accounts = _of(accounts, tenant_id)
        held |= rows["account_id"].isin(set(accounts[accounts["person_id"].isin(students)]["account_id"]))
    return held


def _tenant(before: Tables, after: Tables, tenant: Mapping[Any, Any], read_archive: ReadArchive) -> Iterator[str]:
    tenant_id, product, year = tenant["tenant_id"], tenant["product"], tenant["current_school_year"]
    done = _of(after["ledger.rollovers"], tenant_id)
    for row in done[done["state"] != "certified"].to_dict("records"):
        yield f"{tenant_id}: the rollover of {row['school_year']} is not certified"
    yield from _activity(before, after, tenant_id, product, year, set(done["school_year"]))
    for row in done.to_dict("records"):
        yield from _exports(before, after, product, row)
        if product == "hero":
            yield from _archive(before, after, row, read_archive)
    finished = bool((done["school_year"] == year).any())
    moved = _of(after["directory.tenants"], tenant_id)["current_school_year"].tolist()
    if moved != [_next(year) if finished else year]:
        yield f"{tenant_id}: the current school year is not {_next(year) if finished else year}"
    yield from _kept(before, after, tenant_id, product, everything=not finished)
    if not finished:
        return
    yield from _renewed(before, after, tenant_id, product)
    yield from _roster(before, after, tenant_id, year)
    if product == "hero":
        yield from _switched_off(before, after, tenant_id)
    else:
        yield from _accounts(after, tenant_id, product)


def _activity(
    before: Tables, after: Tables, tenant_id: str, product: str, current: str, done: set[str]
) -> Iterator[str]:
    """Finished years are blank, the others untouched; the new year begins with nothing but resets of points."""
    for name in ACTIVITY[product]:
        table = f"{product}.{name}"
        was, now = _of(before[table], tenant_id), _of(after[table], tenant_id)
        was_held, is_held = (_is_held(before, after, tenant_id, rows) for rows in (was, now))
        if changed := _differences(was[was_held], now[is_held & now["school_year"].isin(set(was["school_year"]))]):
            yield f"{tenant_id}: {changed} rows of {table} changed that a hold is on"
        left = now[now["school_year"].isin(done) & ~is_held]
        for year, rows in left.groupby("school_year"):
            yield f"{tenant_id}: {len(rows)} rows of {table} of {year} are still there"
        others = now[~now["school_year"].isin(done)]
        if name == "points_ledger" and current in done:
            started = (others["school_year"] == _next(current)) & (others["kind"] == "reset") & (others["points"] == 0)
            others = others[~started]
        if changed := _differences(was[~was["school_year"].isin(done)], others):
            yield f"{tenant_id}: {changed} rows of {table} of other years changed"


def _exports(before: Tables, after: Tables, product: str, rollover: Mapping[Any, Any]) -> Iterator[str]:
    """Every report was exported, with all that there was to report."""
    receipts = after["ledger.exports"]
    receipts = receipts[receipts["rollover_id"] == rollover["rollover_id"]]
    for report, expected in _expected_reports(before, product, rollover["tenant_id"], rollover["school_year"]).items():
        rows = receipts[receipts["report"] == report]["rows"].tolist()
        if rows[-1:] != [expected]:
            said = f"says {rows[-1]} rows" if rows else "is missing"
            yield f"{rollover['rollover_id']}: the export {report} {said}, there were {expected}"


def _expected_reports(before: Tables, product: str, tenant_id: str, year: str) -> dict[str, int]:
    if product != "hero":
        return {"student_data_export": len(_of(before[f"{product}.student_accounts"], tenant_id))}
    of_year = {name: _of(before[f"hero.{name}"], tenant_id) for name in ACTIVITY["hero"]}
    of_year = {name: frame[frame["school_year"] == year] for name, frame in of_year.items()}
    # A line per event, and one more where a second consequence followed from it.
    further = int(of_year["action_assignments"]["event_id"].duplicated().sum())
    entries = of_year["points_ledger"]
    students = entries[entries["kind"] != "reset"][["school_id", "student_id"]].drop_duplicates()
    return {"behavior_history": len(of_year["tracking_events"]) + further, "schoolwide_points": len(students)}


def _archive(before: Tables, after: Tables, rollover: Mapping[Any, Any], read_archive: ReadArchive) -> Iterator[str]:
    """Archived exactly where the school's subscription is active on the reset date, and the files hold it all."""
    tenant_id, year = str(rollover["tenant_id"]), rollover["school_year"]
    active = _active_schools(before, tenant_id, rollover["reset_date"])
    archives = after["ledger.archives"]
    archives = archives[archives["rollover_id"] == rollover["rollover_id"]]
    for name in ACTIVITY["hero"]:
        table = f"hero.{name}"
        rows = _of(before[table], tenant_id)
        rows = rows[(rows["school_year"] == year) & ~_is_held(before, after, tenant_id, rows)]
        files = archives[archives["table_name"] == table]
        for school_id in sorted(set(files["school_id"]) - active):
            yield f"{tenant_id}: {table} of {year}, school {school_id}, is archived without a subscription"
        for school_id in sorted(set(rows["school_id"]) & active):
            part = rows[rows["school_id"] == school_id]
            paths = files[files["school_id"] == school_id]["path"].tolist()
            if not paths:
                yield f"{tenant_id}: {table} of {year}, school {school_id}, is not archived"
            elif different := _differences(part, read_archive(paths[-1])):
                yield f"{tenant_id}: {table} of {year}, school {school_id}: {different} rows differ in the archive"


def _active_schools(before: Tables, tenant_id: str, day: object) -> set[str]:
    product, _, district = tenant_id.partition("__")
    rows = before["directory.subscriptions"]
    # One that has ended since was in force between its dates; a cancelled one counts for nothing.
    rows = rows[(rows["district_id"] == district) & (rows["product"] == product) & (rows["state"] != "cancelled")]
    return set(rows[(rows["starts_on"] <= day) & (rows["ends_on"] >= day)]["school_id"])


def _kept(before: Tables, after: Tables, tenant_id: str, product: str, *, everything: bool) -> Iterator[str]:
    """Kept tables are the same; of a tenant whose current year is not over, so is all its current state."""
    kept = KEPT[product]
    if everything:
        kept += (*RENEWED[product], *(SWITCHED_OFF if product == "hero" else ()))
    for name in kept:
        table = f"{product}.{name}"
        was, now = _of(before[table], tenant_id), _of(after[table], tenant_id)
        if name == "educator_accounts" and not everything:
            now = now[now["account_id"].isin(was["account_id"])]  # new educators get accounts
        if changed := _differences(was, now):
            yield f"{tenant_id}: {changed} rows of {table} changed, which is kept"


def _renewed(before: Tables, after: Tables, tenant_id: str, product: str) -> Iterator[str]:
    for name, key in RENEWED[product].items():
        table = f"{product}.{name}"
        was, now = _of(before[table], tenant_id), _of(after[table], tenant_id)
        now = now[~_is_held(before, after, tenant_id, now)]
        if again := int(now[key].isin(was[key]).sum()):
            yield f"{tenant_id}: {again} rows of {table} are still last year's"
        if name in ("think_points", "avatars") and len(now):
            yield f"{tenant_id}: {table} has {len(now)} rows, nobody has earned or made any yet"


def _switched_off(before: Tables, after: Tables, tenant_id: str) -> Iterator[str]:
    for name, columns in SWITCHED_OFF.items():
        was, now = _of(before[f"hero.{name}"], tenant_id), _of(after[f"hero.{name}"], tenant_id)
        key = "student_id" if name == "point_balances" else "school_id"
        was_held, is_held = (_is_held(before, after, tenant_id, rows) for rows in (was, now))
        if changed := _differences(was[was_held], now[is_held]):
            yield f"{tenant_id}: {changed} rows of hero.{name} changed that a hold is on"
        if lost := int((~was[key].isin(now[key])).sum()):
            yield f"{tenant_id}: hero.{name} lost {lost} rows"
        for column in columns:
            if on := int((now[~is_held][column].astype(int) != 0).sum()):
                yield f"{tenant_id}: {column} of hero.{name} is not reset in {on} rows"


def _left_later(after: Tables, people: pd.DataFrame, tenant_id: str) -> set[str]:
    imports = _of(after["ledger.imports"], tenant_id).sort_values("found_at")
    later = imports[imports["state"] == "applied"]["import_id"].tolist()[1:]
    return set(people[(people["status"] == "tobedeleted") & people["import_id"].isin(later)]["sourced_id"])


def _accounts(after: Tables, tenant_id: str, product: str) -> Iterator[str]:
    """Each active student has one account in the right band, each active class one classroom.

    A student who left with a set after the new year's first one may still have the account.
    """
    people = _of(after["roster.people"], tenant_id)
    students = people[(people["role"] == "student") & (people["status"] == "active")]
    accounts = _of(after[f"{product}.student_accounts"], tenant_id)
    differ = set(students["sourced_id"]) ^ set(accounts["person_id"])
    if without := len(differ - _left_later(after, people, tenant_id)):
        yield f"{tenant_id}: {without} students without an account, or accounts without a student"
    if twice := int(accounts["person_id"].duplicated().sum()):
        yield f"{tenant_id}: {twice} students have more than one account"
    band = accounts["grade"].isin(LOWER_BAND).map({True: "PreK-2", False: "3+"})
    if wrong := int((accounts["band"].astype(str) != band.astype(str)).sum()):
        yield f"{tenant_id}: {wrong} accounts are in the wrong band for their grade"
    classes = _of(after["roster.classes"], tenant_id)
    active = set(classes[classes["status"] == "active"]["sourced_id"])
    if without := len(active ^ set(_of(after[f"{product}.classrooms"], tenant_id)["class_id"])):
        yield f"{tenant_id}: {without} classes without a classroom, or classrooms without a class"


def _roster(before: Tables, after: Tables, tenant_id: str, year: str) -> Iterator[str]:
    """The new year's sessions only, last year's graduates gone, everybody else one grade up."""
    sessions = _of(after["roster.academic_sessions"], tenant_id)
    years = set(sessions[sessions["status"] == "active"]["school_year"])
    if years != {_next(year)}:
        yield f"{tenant_id}: the active sessions are of {sorted(years)}, not of {_next(year)} alone"
    was, now = (_grades(snapshot, tenant_id) for snapshot in (before, after))
    if was.empty:
        return
    if there := len(was[was == was.max()].index.intersection(now.index)):
        yield f"{tenant_id}: {there} of last year's graduates are still there"
    both = was[was < was.max()].index.intersection(now.index)
    if wrong := int((now[both] != was[both] + 1).sum()):
        yield f"{tenant_id}: {wrong} returning students are not one grade up"


def _grades(snapshot: Tables, tenant_id: str) -> pd.Series:
    people = _of(snapshot["roster.people"], tenant_id)
    students = people[(people["role"] == "student") & (people["status"] == "active")]
    return students.set_index("sourced_id")["grade"].map({grade: n for n, grade in enumerate(GRADES)}).astype(int)


def _directory(before: Tables, after: Tables) -> Iterator[str]:
    for table in ("directory.districts", "directory.schools", "directory.subscriptions"):
        if changed := _differences(before[table], after[table]):
            yield f"{changed} rows of {table} changed, which is kept"


def _strangers(before: Tables, after: Tables) -> Iterator[str]:
    """No row of any table belongs to a tenant that is not there."""
    known = set(before["directory.tenants"]["tenant_id"])
    for table, frame in after.items():
        if "tenant_id" in frame and (strangers := int((~frame["tenant_id"].isin(known)).sum())):
            yield f"{strangers} rows of {table} belong to no known tenant"


def _tables_without_rule(before: Tables) -> Iterator[str]:
    for table in before:
        product, _, name = table.partition(".")
        ruled = {*ACTIVITY.get(product, ()), *KEPT.get(product, ()), *RENEWED.get(product, ())}
        if product in ACTIVITY and name not in ruled | (set(SWITCHED_OFF) if product == "hero" else set()):
            yield f"this check has no rule for {table}"


def _differences(was: pd.DataFrame, now: pd.DataFrame) -> int:
    """How many rows are only in one of two frames, in any order; a changed row counts once on each side."""
    counts = [
        pd.util.hash_pandas_object(frame.reindex(columns=sorted(was.columns)).astype(str), index=False).value_counts()
        for frame in (was, now)
    ]
    return int(counts[0].sub(counts[1], fill_value=0).abs().sum())


def _of(frame: pd.DataFrame, tenant_id: str) -> pd.DataFrame:
    return frame[frame["tenant_id"] == tenant_id]


def _next(year: str) -> str:
    first = int(year[:4]) + 1
    return f"{first}-{(first + 1) % 100:02d}"


def read_snapshot(folder: Path) -> dict[str, pd.DataFrame]:
    """Every ``<schema>.<table>.parquet`` of a folder, by table."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.parquet"))}


def read_archive_file(url: str) -> pd.DataFrame:
    """An archive file by the path or ``file://`` URL that the ledger has."""
    return _read(Path(unquote(urlparse(url).path)))


def _read(path: Path) -> pd.DataFrame:
    # Arrow's own types: an integer column with nulls stays one, so that equal rows have equal text.
    return pd.read_parquet(path, dtype_backend="pyarrow")


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    before, after = (read_snapshot(Path(folder)) for folder in arguments)
    violations = check(before, after, read_archive_file)
    print("\n".join(violations) if violations else "Every rule holds.")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
