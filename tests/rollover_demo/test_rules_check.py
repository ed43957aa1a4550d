"""The independent check finds each way in which a season can go wrong; small frames, one mistake at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from tests import rules_check
from tests.support.sampling import others_slow

HERO, MATH, OTHER = "hero__oak", "imagine_math__oak", "hero__elm"
DAY = date(2026, 7, 8)
Tables = dict[str, pd.DataFrame]
Mistake = Callable[[Tables], None]


def _before() -> Tables:
    """Two schools, one without a subscription; a past year; a second tenant that is not rolled over."""
    people = [
        _person(HERO, "s1", "student", "11"),
        _person(HERO, "s2", "student", "12"),
        _person(MATH, "s1", "student", "02"),
        _person(MATH, "s2", "student", "05"),
        _person(OTHER, "s1", "student", "11"),
    ]
    tables = {
        "directory.districts": [{"district_id": "oak", "name": "Oak"}, {"district_id": "elm", "name": "Elm"}],
        "directory.schools": [{"district_id": "oak", "school_id": "1"}, {"district_id": "oak", "school_id": "2"}],
        "directory.tenants": [
            {"tenant_id": HERO, "product": "hero", "current_school_year": "2025-26"},
            {"tenant_id": MATH, "product": "imagine_math", "current_school_year": "2025-26"},
            {"tenant_id": OTHER, "product": "hero", "current_school_year": "2025-26"},
        ],
        "directory.subscriptions": [
            _subscription("1", "active", date(2027, 6, 30)),
            _subscription("2", "ended", date(2026, 6, 30)),
        ],
        "roster.people": people,
        "roster.academic_sessions": [_session(t, "2025-26", "active") for t in (HERO, MATH, OTHER)],
        "roster.classes": [{"tenant_id": MATH, "sourced_id": "c1", "status": "active"}],
    }
    for name in rules_check.ACTIVITY["hero"]:
        tables[f"hero.{name}"] = [
            _row(t, school, school_year=year, kind="earned", points=2, student_id=f"s{school}", event_id=int(school))
            for t in (HERO, OTHER)
            for school in ("1", "2")
            for year in ("2024-25", "2025-26")
        ]
    for name in rules_check.KEPT["hero"]:
        tables[f"hero.{name}"] = [_row(t, "1", name="kept", updated=None) for t in (HERO, OTHER)]
    for name, columns in rules_check.SWITCHED_OFF.items():
        tables[f"hero.{name}"] = [_row(t, "1", student_id="s1", **dict.fromkeys(columns, 1)) for t in (HERO, OTHER)]
    for name in rules_check.ACTIVITY["imagine_math"]:
        tables[f"imagine_math.{name}"] = [_row(MATH, "1", account_id="a1", school_year="2025-26")]
    tables |= {
        "imagine_math.educator_accounts": [_row(MATH, "1", account_id="t1")],
        "imagine_math.student_accounts": [_account("a1", "s1", "02", "PreK-2"), _account("a2", "s2", "05", "3+")],
        "imagine_math.classrooms": [_row(MATH, "1", classroom_id="r1", class_id="c1")],
        "imagine_math.classroom_students": [_row(MATH, "1", classroom_id="r1", account_id="a1")],
        "imagine_math.think_points": [_row(MATH, "1", account_id="a2", points=9)],
        "imagine_math.avatars": [_row(MATH, "1", account_id="a2", avatar="fox")],
    }
    nothing_done = {
        "ledger.rollovers": pd.DataFrame([_rollover(HERO)]).iloc[:0],
        "ledger.imports": pd.DataFrame([_import(HERO, "i1", "applied")]).iloc[:0],
        "ledger.archives": pd.DataFrame([_archive("1", "hero.points_ledger")]).iloc[:0],
        "ledger.exports": pd.DataFrame([_export(HERO, "behavior_history", 2)]).iloc[:0],
    }
    return nothing_done | {name: pd.DataFrame(rows) for name, rows in tables.items()}


def _after() -> Tables:
    """The same a summer later, everything done right."""
    after = copy.deepcopy(_before())
    for product in ("hero", "imagine_math"):
        for name in rules_check.ACTIVITY[product]:
            frame = after[f"{product}.{name}"]
            mine = frame["tenant_id"].isin([HERO, MATH]) & (frame["school_year"] == "2025-26")
            after[f"{product}.{name}"] = frame[~mine]
    _add(
        after,
        "hero.points_ledger",
        _row(HERO, "1", school_year="2026-27", kind="reset", points=0, student_id="s1", event_id=3),
    )
    for name, columns in rules_check.SWITCHED_OFF.items():
        frame = after[f"hero.{name}"]
        frame.loc[frame["tenant_id"] == HERO, list(columns)] = 0
    for name in ("think_points", "avatars"):
        after[f"imagine_math.{name}"] = after[f"imagine_math.{name}"].iloc[:0]
    after |= {
        "imagine_math.student_accounts": pd.DataFrame(
            [_account("a3", "s1", "03", "3+"), _account("a4", "s3", "KG", "PreK-2")]
        ),
        "imagine_math.classrooms": pd.DataFrame([_row(MATH, "1", classroom_id="r2", class_id="c2")]),
        "imagine_math.classroom_students": pd.DataFrame([_row(MATH, "1", classroom_id="r2", account_id="a3")]),
        "roster.classes": pd.DataFrame(
            [
                {"tenant_id": MATH, "sourced_id": "c1", "status": "tobedeleted"},
                {"tenant_id": MATH, "sourced_id": "c2", "status": "active"},
            ]
        ),
        "roster.people": pd.DataFrame(
            [
                _person(HERO, "s1", "student", "12"),
                _person(HERO, "s2", "student", "12", status="tobedeleted"),
                _person(MATH, "s1", "student", "03"),
                _person(MATH, "s3", "student", "KG"),
                _person(OTHER, "s1", "student", "11"),
            ]
        ),
        "roster.academic_sessions": pd.DataFrame(
            [_session(t, "2026-27", "active") for t in (HERO, MATH)]
            + [_session(t, "2025-26", "tobedeleted") for t in (HERO, MATH)]
            + [_session(OTHER, "2025-26", "active")]
        ),
        "ledger.rollovers": pd.DataFrame([_rollover(HERO), _rollover(MATH)]),
        "ledger.imports": pd.DataFrame([_import(t, "i1", "applied") for t in (HERO, MATH)]),
        "ledger.exports": pd.DataFrame(
            [
                _export(HERO, "behavior_history", 2),
                _export(HERO, "schoolwide_points", 2),
                _export(MATH, "student_data_export", 2),
            ]
        ),
        "ledger.archives": pd.DataFrame(
            [_archive("1", f"hero.{name}") for name in rules_check.ACTIVITY["hero"]] + [_archive("1", "hero.email")]
        ),
    }
    tenants = after["directory.tenants"]
    tenants.loc[tenants["tenant_id"] != OTHER, "current_school_year"] = "2026-27"
    return after


def _read_archive(path: str) -> pd.DataFrame:
    school_id, _, table = path.partition("/")
    frame = _before()[table]
    chosen = (frame["tenant_id"] == HERO) & (frame["school_id"] == school_id) & (frame["school_year"] == "2025-26")
    return frame[chosen]


def _person(tenant_id: str, sourced_id: str, role: str, grade: str, status: str = "active") -> dict[str, object]:
    person = {"tenant_id": tenant_id, "sourced_id": sourced_id, "role": role, "grade": grade, "status": status}
    return {**person, "import_id": "i1"}


def _import(tenant_id: str, import_id: str, state: str) -> dict[str, object]:
    return {"tenant_id": tenant_id, "import_id": import_id, "state": state, "found_at": pd.Timestamp("2026-08-10")}


def _session(tenant_id: str, year: str, status: str) -> dict[str, object]:
    return {"tenant_id": tenant_id, "school_year": year, "status": status}


def _subscription(school_id: str, state: str, ends_on: date) -> dict[str, object]:
    return {
        "district_id": "oak",
        "school_id": school_id,
        "product": "hero",
        "state": state,
        "starts_on": date(2020, 8, 1),
        "ends_on": ends_on,
    }


def _row(tenant_id: str, school_id: str, **values: object) -> dict[str, object]:
    return {"tenant_id": tenant_id, "school_id": school_id, **values}


def _account(account_id: str, person_id: str, grade: str, band: str) -> dict[str, object]:
    return _row(MATH, "1", account_id=account_id, person_id=person_id, grade=grade, band=band)


def _rollover(tenant_id: str, state: str = "certified") -> dict[str, object]:
    return {
        "tenant_id": tenant_id,
        "rollover_id": f"{tenant_id}__2025-26",
        "school_year": "2025-26",
        "reset_date": DAY,
        "state": state,
    }


def _archive(school_id: str, table: str) -> dict[str, object]:
    return {
        "tenant_id": HERO,
        "rollover_id": f"{HERO}__2025-26",
        "school_id": school_id,
        "table_name": table,
        "path": f"{school_id}/{table}",
    }


def _export(tenant_id: str, report: str, rows: int) -> dict[str, object]:
    return {"tenant_id": tenant_id, "rollover_id": f"{tenant_id}__2025-26", "report": report, "rows": rows}


def _add(tables: Tables, table: str, row: dict[str, object]) -> None:
    tables[table] = pd.concat([tables[table], pd.DataFrame([row])], ignore_index=True)


def _drop_first(tables: Tables, table: str) -> None:
    tables[table] = tables[table].iloc[1:]


def _set(tables: Tables, table: str, column: str, value: object, tenant_id: str = HERO) -> None:
    tables[table].loc[tables[table]["tenant_id"] == tenant_id, column] = value


MISTAKES: dict[str, tuple[Mistake, str]] = {
    "a row of the year is left": (
        lambda t: _add(t, "hero.tracking_events", _row(HERO, "1", school_year="2025-26", event_id=9)),
        "hero__oak: 1 rows of hero.tracking_events of 2025-26 are still there",
    ),
    "a row of another year is lost": (
        lambda t: _drop_first(t, "hero.action_assignments"),
        "hero__oak: 1 rows of hero.action_assignments of other years changed",
    ),
    "academic data is left": (
        lambda t: _add(t, "imagine_math.usage", _row(MATH, "2", account_id="a9", school_year="2025-26")),
        "imagine_math__oak: 1 rows of imagine_math.usage of 2025-26 are still there",
    ),
    "the new year begins with points": (
        lambda t: _add(
            t,
            "hero.points_ledger",
            _row(HERO, "1", school_year="2026-27", kind="earned", points=3, student_id="s1", event_id=4),
        ),
        "hero__oak: 1 rows of hero.points_ledger of other years changed",
    ),
    "an archive is missing": (
        lambda t: _drop_first(t, "ledger.archives"),
        "hero__oak: hero.tracking_events of 2025-26, school 1, is not archived",
    ),
    "an archive holds another school's rows": (
        lambda t: _set(t, "ledger.archives", "path", "2/hero.tracking_events"),
        "school 1: 2 rows differ in the archive",
    ),
    "a school without a subscription is archived": (
        lambda t: _add(t, "ledger.archives", _archive("2", "hero.points_ledger")),
        "hero.points_ledger of 2025-26, school 2, is archived without a subscription",
    ),
    "a report is missing": (
        lambda t: _drop_first(t, "ledger.exports"),
        "hero__oak__2025-26: the export behavior_history is missing, there were 2",
    ),
    "a report leaves students out": (
        lambda t: _set(t, "ledger.exports", "rows", 1, MATH),
        "imagine_math__oak__2025-26: the export student_data_export says 1 rows, there were 2",
    ),
    "points are left": (
        lambda t: _set(t, "hero.point_balances", "balance", 7),
        "balance of hero.point_balances is not reset in 1 rows",
    ),
    "balances are deleted": (
        lambda t: _drop_first(t, "hero.point_balances"),
        "hero__oak: hero.point_balances lost 1 rows",
    ),
    "notifications go on": (
        lambda t: _set(t, "hero.notification_settings", "sending", 1),
        "sending of hero.notification_settings is not reset",
    ),
    "parents see schedules": (
        lambda t: _set(t, "hero.portal_settings", "parents_see_schedules", 1),
        "parents_see_schedules of hero.portal_settings is not reset",
    ),
    "a login is gone": (
        lambda t: _drop_first(t, "hero.student_logins"),
        "hero__oak: 1 rows of hero.student_logins changed, which is kept",
    ),
    "a behavior code is changed": (
        lambda t: _set(t, "hero.behavior_codes", "name", "other"),
        "hero__oak: 2 rows of hero.behavior_codes changed, which is kept",
    ),
    "an educator's account is gone": (
        lambda t: _drop_first(t, "imagine_math.educator_accounts"),
        "1 rows of imagine_math.educator_accounts changed, which is kept",
    ),
    "a student keeps the old account": (
        lambda t: _set(t, "imagine_math.student_accounts", "account_id", "a1", MATH),
        "rows of imagine_math.student_accounts are still last year's",
    ),
    "a classroom is left": (
        lambda t: _add(t, "imagine_math.classrooms", _row(MATH, "1", classroom_id="r1", class_id="c1")),
        "1 rows of imagine_math.classrooms are still last year's",
    ),
    "an avatar is there": (
        lambda t: _add(t, "imagine_math.avatars", _row(MATH, "1", account_id="a3", avatar="fox")),
        "imagine_math.avatars has 1 rows",
    ),
    "a student has no account": (
        lambda t: _drop_first(t, "imagine_math.student_accounts"),
        "1 students without an account",
    ),
    "one who left has a new account": (
        lambda t: _set(t, "roster.people", "status", "tobedeleted", MATH),
        "2 students without an account, or accounts without a student",
    ),
    "a student has two accounts": (
        lambda t: _add(t, "imagine_math.student_accounts", _account("a9", "s1", "03", "3+")),
        "1 students have more than one account",
    ),
    "an account is in the wrong band": (
        lambda t: _set(t, "imagine_math.student_accounts", "band", "3+", MATH),
        "1 accounts are in the wrong band",
    ),
    "a class has no classroom": (
        lambda t: _drop_first(t, "imagine_math.classrooms"),
        "1 classes without a classroom",
    ),
    "a graduate is still there": (
        lambda t: _set(t, "roster.people", "status", "active"),
        "hero__oak: 1 of last year's graduates are still there",
    ),
    "grades advanced twice": (
        lambda t: _set(t, "roster.people", "grade", "04", MATH),
        "imagine_math__oak: 1 returning students are not one grade up",
    ),
    "last year's session is active": (
        lambda t: _set(t, "roster.academic_sessions", "status", "active"),
        "the active sessions are of ['2025-26', '2026-27'], not of 2026-27 alone",
    ),
    "the year did not move": (
        lambda t: _set(t, "directory.tenants", "current_school_year", "2025-26"),
        "hero__oak: the current school year is not 2026-27",
    ),
    "a rollover is not certified": (
        lambda t: _set(t, "ledger.rollovers", "state", "running"),
        "hero__oak: the rollover of 2025-26 is not certified",
    ),
    "another tenant's events are gone": (
        lambda t: t.update({"hero.tracking_events": t["hero.tracking_events"].query("tenant_id != @OTHER")}),
        "hero__elm: 4 rows of hero.tracking_events of other years changed",
    ),
    "another tenant's points are reset": (
        lambda t: _set(t, "hero.point_balances", "balance", 0, OTHER),
        "hero__elm: 2 rows of hero.point_balances changed, which is kept",
    ),
    "another tenant moved on": (
        lambda t: _set(t, "directory.tenants", "current_school_year", "2026-27", OTHER),
        "hero__elm: the current school year is not 2025-26",
    ),
    "a row belongs to nobody": (
        lambda t: _add(t, "imagine_math.classrooms", _row("hero__ash", "1", classroom_id="r9", class_id="c9")),
        "1 rows of imagine_math.classrooms belong to no known tenant",
    ),
    "a school is gone": (
        lambda t: _drop_first(t, "directory.schools"),
        "1 rows of directory.schools changed, which is kept",
    ),
}


def test_a_season_done_right_has_no_violation() -> None:
    assert rules_check.check(_before(), _after(), _read_archive) == []


@pytest.mark.parametrize("named", others_slow(MISTAKES, 3))
def test_each_mistake_is_found(named: str) -> None:
    mistake, message = MISTAKES[named]
    after = _after()
    mistake(after)
    violations = rules_check.check(_before(), after, _read_archive)
    assert any(message in violation for violation in violations), violations


def _with_a_hold(**of: str | None) -> tuple[Tables, Tables]:
    """A season with an open hold, in which the rows that it is on stayed as they were."""
    before, after = _before(), _after()
    hold = {"tenant_id": HERO, "school_id": None, "student_id": None, "lifted_at": None, **of}
    after["ledger.holds"] = pd.DataFrame([hold])
    for name in (*rules_check.ACTIVITY["hero"], *rules_check.SWITCHED_OFF):
        was, now = before[f"hero.{name}"], after[f"hero.{name}"]
        mine = was["tenant_id"] == HERO
        if of.get("student_id"):
            mine &= was["student_id"] == of["student_id"]
        if of.get("school_id"):
            mine &= was["school_id"] == of["school_id"]
        if "school_year" in was:
            mine &= was["school_year"] == "2025-26"
            after[f"hero.{name}"] = pd.concat([now, was[mine]], ignore_index=True)
        else:
            now.loc[mine, now.columns] = was.loc[mine, now.columns]
    return before, after


OF = pytest.mark.parametrize("of", [{"student_id": "s1"}, {"school_id": "1"}, {}], ids=str)


@OF
def test_what_a_hold_is_on_may_stay(of: dict[str, str]) -> None:
    before, after = _with_a_hold(**of)
    if of != {"student_id": "s1"}:  # nobody of the school starts again: no entry of a reset
        after["hero.points_ledger"] = after["hero.points_ledger"].query("kind != 'reset'")
    found = rules_check.check(before, after, lambda path: _read_archive(path).iloc[:0])
    assert [said for said in found if "archive" not in said] == []


@OF
@pytest.mark.parametrize("name", ["tracking_events", "point_balances"])
def test_what_a_hold_is_on_must_stay(of: dict[str, str], name: str) -> None:
    before, after = _with_a_hold(**of)
    rows = after[f"hero.{name}"]
    if name == "tracking_events":
        gone = rows[(rows["tenant_id"] == HERO) & (rows["school_year"] == "2025-26")].index[:1]
        after[f"hero.{name}"] = rows.drop(gone)
    else:
        _set(after, "hero.point_balances", "balance", 0)
    found = rules_check.check(before, after, _read_archive)
    assert any(f"rows of hero.{name} changed that a hold is on" in said for said in found), found


def test_a_season_in_which_nothing_happened_does_not_pass() -> None:
    assert "no tenant was rolled over: there is nothing to check" in rules_check.check(
        _before(), _before(), _read_archive
    )


def test_a_new_table_needs_a_rule() -> None:
    before = _before() | {"hero.badges": pd.DataFrame([_row(HERO, "1")])}
    assert rules_check.check(before, _after(), _read_archive) == ["this check has no rule for hero.badges"]


def test_snapshots_are_read_from_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, tables in (("before", _before()), ("after", _before())):
        (tmp_path / name).mkdir()
        for table, frame in tables.items():
            frame.to_parquet(tmp_path / name / f"{table}.parquet")
    assert rules_check.main([str(tmp_path / "before"), str(tmp_path / "after")]) == 1
    assert "no tenant was rolled over" in capsys.readouterr().out


def test_the_check_is_independent_of_the_product() -> None:
    tree = ast.parse(Path(rules_check.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported
    assert not any(name.split(".")[0] == "rollover" for name in imported)
