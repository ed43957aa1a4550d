"""The night opens only the tenants that have something due, in one query, and a dead server holds up nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from rollover.database.session import tenant_session
from rollover.errors import DatabaseFailed, ProofFailed, Refused, WorkLeft
from rollover.ledger import due
from rollover.ledger.due import Due, Kind
from rollover.nightly import rounds
from rollover.nightly.tonight import (
    NIGHTS,
    OVERDUE_PAUSES,
    REPORT,
    STRAY_FILES,
    TASKS,
    TIDY,
    WAKE,
    is_turn,
    tasks_due,
    work_due,
)
from rollover.roster.imports.files import import_folder
from rollover.tenant import Tenant
from tests.nightly.conftest import EXPORTS_KEPT, GRACE, NOW, SERVERS, TENANTS, World, ago, server_of

A, B, C = (Tenant("hero", name) for name in ("d003", "d023", "d104"))
"""The first two are on one server."""
WHERE = "tenant_id = :tenant"


def in_turn(world: World, days: int = 0) -> list[Tenant]:
    return [tenant for tenant in TENANTS if is_turn(tenant, world.on(days).day)]


def three_due(world: World) -> tuple[str, str]:
    """Files of a set of A, an export of B, a report of C."""
    import_id = world.has_import(A, "rejected", ago(2))
    folder = import_folder(world.night.storage, import_id)
    folder.mkdir(parents=True)
    (folder / "users.csv").write_bytes(b"x")
    export = world.has_export(B, ago(EXPORTS_KEPT + 400))
    reported = {"folder": f"/{C.district}/hero/outbox/imports/old", "sha256": "0", "state": "applied"}
    gone = {"files_removed_at": ago(3), "rows_removed_at": ago(3)}
    world.has_import(C, "applied", ago(GRACE + 1), details={"reported": reported}, **gone)
    return import_id, export


def test_only_the_tenants_with_something_due_are_opened(world: World) -> None:
    import_id, export = three_due(world)
    world.sessions.clear()
    assert set(tasks_due(world.night)) == {TIDY, STRAY_FILES}
    assert len(world.sessions.of_all) == 1 and not world.sessions.tenants, "one statement, and no tenant is opened"

    assert rounds.tidy_up(world.night) == {A.id: {"sets": 1}, B.id: {"exports": 1}, C.id: {"reports": 1}}
    assert world.sessions.tenants == {A.id, B.id, C.id} and len(world.sessions.of_all) == 2
    assert world.servers.opened == {server_of(B): 1, server_of(C): 1}, "nothing of A is in its outbox"
    folder = f"/{C.district}/hero/outbox/imports/old"
    assert sorted(world.servers.requests) == [
        (server_of(B), export),
        (server_of(C), f"{folder}/findings.csv"),
        (server_of(C), f"{folder}/summary.txt"),
    ]
    assert not import_folder(world.night.storage, import_id).exists()

    assert work_due(world.night, TIDY) == {}, "it is done, and the ledger knows it"


def test_a_night_with_nothing_to_do_starts_no_task(world: World) -> None:
    """Except for comparing files, which is some tenants' turn on most nights."""
    world.run("DELETE FROM directory.tenants")
    for task, kinds in TASKS.items():
        work = work_due(world.night, task)
        assert list(work) == (in_turn(world) if task == STRAY_FILES else []), kinds
    assert world.sessions.tenants == set()


def test_the_tenants_of_a_server_share_one_connection(world: World) -> None:
    exports = {tenant: world.has_export(tenant, ago(EXPORTS_KEPT + 400)) for tenant in (A, B, C)}
    assert server_of(A) == server_of(B)
    rounds.tidy_up(world.night)
    assert world.servers.opened == {server_of(A): 1, server_of(C): 1}
    assert sorted(path for _, path in world.servers.requests) == sorted(exports.values())


def test_a_dead_server_holds_up_nobody_and_is_asked_once(world: World) -> None:
    for tenant in (A, B, C):
        world.has_export(tenant, ago(EXPORTS_KEPT + 400))
    files = world.has_import(B, "rejected", ago(2))
    import_folder(world.night.storage, files).mkdir(parents=True)
    world.servers.dead = {server_of(A)}
    with pytest.raises(WorkLeft) as failed:
        rounds.tidy_up(world.night)
    said = str(failed.value)
    assert "failed for 2 of the tenants" in said
    assert f"{A}: DeadServer at" in said and f"of the server '{server_of(A)}'" in said
    assert f"{B}: ServerDown at" in said and C.id not in said
    assert world.servers.opened == {server_of(A): 1, server_of(C): 1}, "nobody waits for it a second time"
    assert not import_folder(world.night.storage, files).exists(), "what needs no server is done"
    assert list(work_due(world.night, TIDY)) == [A, B]

    world.servers.dead = set()
    assert rounds.tidy_up(world.night) == {A.id: {"exports": 1}, B.id: {"exports": 1}}, "the next night does it"


def test_an_answer_of_a_server_is_no_reason_to_give_it_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [world.has_export(tenant, ago(EXPORTS_KEPT + 400)) for tenant in (A, B)]

    def remove(path: str) -> None:
        if path == paths[0]:
            raise PermissionError("denied")

    monkeypatch.setattr(world.servers.outbox, "remove", remove)
    with pytest.raises(WorkLeft, match=rf"1 of the tenants: {A}: PermissionError at"):
        rounds.tidy_up(world.night)
    assert list(work_due(world.night, TIDY)) == [A]


def test_a_refusal_is_not_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.has_export(A, ago(EXPORTS_KEPT + 400))

    def refuse(path: str) -> None:
        raise Refused("The host key is another.", "ask.")

    monkeypatch.setattr(world.servers.outbox, "remove", refuse)
    with pytest.raises(
        Refused, match=rf"{A}: The host key is another\. of the server '{server_of(A)}'.*To go on: ask\."
    ):
        rounds.tidy_up(world.night)


@pytest.mark.parametrize(
    ("statement", "task", "kind", "days"),
    [
        ("UPDATE ledger.imports SET rows_removed_at = NULL WHERE import_id = :a", TIDY, Kind.ROSTER_ROWS, GRACE - 100),
        ("UPDATE ledger.rollovers SET state = state WHERE tenant_id = :tenant", TIDY, Kind.EXPORTS, EXPORTS_KEPT - 20),
        ("UPDATE ledger.imports SET state = state WHERE tenant_id = :tenant", TIDY, Kind.REPORTS, GRACE - 10),
        (
            "UPDATE ledger.file_checks SET checked_at = :now WHERE tenant_id = :tenant",
            STRAY_FILES,
            Kind.FILES_CHECKED,
            7.5,
        ),
    ],
)
def test_work_is_due_when_its_own_days_are_over(
    world: World, statement: str, task: str, kind: Kind, days: float
) -> None:
    """`days` after now it is not due yet, and a second later it is."""
    given = {"a": f"{A}__0", "tenant": A.id, "now": NOW}
    world.run(statement, **{name: value for name, value in given.items() if f":{name}" in statement})
    at = replace(world.night, now=NOW + timedelta(days=days))
    assert kind not in {each.kind for each in work_due(at, task).get(A, [])}
    after = replace(world.night, now=at.now + timedelta(seconds=1))
    assert kind in {each.kind for each in work_due(after, task)[A]}


def test_what_is_due_whatever_the_days(world: World) -> None:
    unfinished = world.has_import(A, "in_review", NOW)
    outdated = world.has_import(B, "undone", NOW, files_removed_at=NOW, details={"reported": {"state": "applied"}})
    assert rounds.tenants_to_wake(world.night) == [A.id]
    assert [(tenant, [each.about for each in found]) for tenant, found in work_due(world.night, REPORT).items()] == [
        (B, [outdated])
    ]
    world.run(
        "INSERT INTO ledger.pauses (tenant_id, paused_by, reason, paused_at) VALUES (:t, 'dana', 'r', :at)",
        t=C.id,
        at=ago(31),
    )
    assert list(work_due(world.night, OVERDUE_PAUSES)) == [C]
    assert set(tasks_due(world.night)) - {STRAY_FILES} == {WAKE, REPORT, OVERDUE_PAUSES}
    assert unfinished and work_due(world.night, TIDY) == {}, "the files of an unfinished import are needed"


def test_nothing_is_tidied_while_the_sync_is_paused(world: World) -> None:
    world.has_import(A, "rejected", ago(2))
    world.run("UPDATE ledger.imports SET rows_removed_at = NULL WHERE tenant_id = :t", t=A.id)
    assert list(work_due(world.night, TIDY)) == [A]
    world.run(
        "INSERT INTO ledger.pauses (tenant_id, paused_by, reason, paused_at) VALUES (:t, 'x', 'r', :at)", t=A.id, at=NOW
    )
    assert work_due(world.night, TIDY) == {}


def test_a_tenant_without_a_district_file_is_left_alone(world: World) -> None:
    world.has_import(Tenant("hero", "gone"), "rejected", ago(2))
    world.run("UPDATE ledger.imports SET tenant_id = 'other__x' WHERE tenant_id = 'hero__gone'")
    assert work_due(world.night, TIDY) == {}


# Comparing files


def test_each_tenant_is_compared_once_in_seven_nights(world: World) -> None:
    turns = [in_turn(world, days) for days in range(NIGHTS)]
    assert sorted(tenant for turn in turns for tenant in turn) == TENANTS
    assert all(len(TENANTS) / NIGHTS / 2 < len(turn) < len(TENANTS) / NIGHTS * 2 for turn in turns)
    assert in_turn(world, NIGHTS) == turns[0]


def test_files_are_compared_where_they_changed_and_in_turn(world: World) -> None:
    turn = in_turn(world)
    changed = next(tenant for tenant in TENANTS if tenant not in turn)
    assert list(work_due(world.night, STRAY_FILES)) == turn
    world.run(f"UPDATE ledger.artifacts SET removed_at = :at WHERE {WHERE}", at=NOW, tenant=changed.id)
    world.sessions.clear()
    rounds.check_files(world.night)
    assert world.sessions.tenants == {tenant.id for tenant in [*turn, changed]}
    assert set(world.servers.opened.values()) == {1} and len(world.servers.opened) <= SERVERS
    world.run("UPDATE ledger.file_checks SET checked_at = :now WHERE checked_at > :now", now=NOW + timedelta(hours=1))
    assert list(work_due(world.night, STRAY_FILES)) == turn, "it is compared, until something changes"


def test_a_difference_is_reported_every_night_until_it_is_gone(world: World) -> None:
    away = next(days for days in range(1, NIGHTS) if A not in in_turn(world, days))
    night = world.on(away)
    stray = world.night.storage / "certificates" / "hero" / A.district / "x.json"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    world.run(f"UPDATE ledger.rollovers SET finished_at = :at WHERE {WHERE}", at=NOW, tenant=A.id)
    for _ in range(2):
        assert A in work_due(night, STRAY_FILES)
        with pytest.raises(ProofFailed, match=rf"differ: {A}: nobody knows .*x\.json"):
            rounds.check_files(night)
    stray.unlink()
    rounds.check_files(night)
    assert A not in work_due(night, STRAY_FILES)


def test_what_could_not_be_compared_is_named_with_what_differs(world: World) -> None:
    turn = in_turn(world)
    dead = turn[0]
    other = next(tenant for tenant in turn if server_of(tenant) != server_of(dead))
    world.servers.dead = {server_of(dead)}
    with pytest.raises(WorkLeft, match=rf"Comparing files failed .*{dead}: DeadServer"):
        rounds.check_files(world.night)
    stray = world.night.storage / "certificates" / "hero" / other.district / "x.json"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    with pytest.raises(ProofFailed, match=rf"{other}: nobody knows .*x\.json; .*{dead}: DeadServer .* could not be"):
        rounds.check_files(world.night)
    assert world.run(f"SELECT checked_at FROM ledger.file_checks WHERE {WHERE}", tenant=dead.id) == [(ago(1),)]


def test_a_file_that_is_removed_meanwhile_is_not_missing(world: World) -> None:
    """Who removes files has the tenant's lock, and records the removal at the end."""
    world.run(
        "INSERT INTO ledger.steps (tenant_id, rollover_id, plan_no, step, seconds, result) "
        "SELECT tenant_id, rollover_id, 1, 'erase', 1, '{}' FROM ledger.rollovers"
    )
    world.run("UPDATE ledger.file_checks SET differs = true")
    known = world.night.known
    alone, other = (
        replace(world.night, known=replace(known, districts={tenant.district: known.districts[tenant.district]}))
        for tenant in (A, B)
    )
    with ThreadPoolExecutor(max_workers=1) as pool:
        with tenant_session(world.owner, A.id, exclusive=True) as remover:
            checking = pool.submit(rounds.check_files, alone)
            with pytest.raises(TimeoutError):
                checking.result(timeout=1)
            remover.execute(text("UPDATE ledger.exports SET removed_at = now()"))  # of its tenant: A
        checking.result()
    with pytest.raises(ProofFailed, match=rf"{B}: .*2025-26\.csv is missing"):
        rounds.check_files(other)


# Who may ask


def test_a_tenants_session_cannot_read_what_is_due(world: World) -> None:
    with pytest.raises(DatabaseFailed, match="InsufficientPrivilege"), tenant_session(world.night.engine, A.id) as own:
        own.exec_driver_sql("SELECT * FROM ledger.due")
    with pytest.raises(ProgrammingError, match="permission denied"), world.night.engine.connect() as login:
        login.exec_driver_sql("SELECT * FROM ledger.due")


def test_it_says_ids_and_times_only(world: World) -> None:
    found = due.read(world.night.engine, Kind.REPORTS, Kind.ROSTER_ROWS)
    assert len(found) == 2 * len(TENANTS)
    assert found[0] == Due(TENANTS[0].id, found[0].kind, None, ago(10))
