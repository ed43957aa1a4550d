"""Others at work in the same instant: a hold, the application, a second process, a second run. Each ends as the laws
say, and no row is lost between two of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, func, insert, text, update
from upath import UPath

from rollover.database.session import connect, tenant_session
from rollover.database.tables import hero
from rollover.database.tables.ledger import holds as holds_table
from rollover.errors import DatabaseUnavailable, ProofFailed, Refused, RolloverError
from rollover.ledger import evidence, holds, plans
from rollover.run import Run
from rollover.yearend import erase as erasing
from rollover.yearend import steps
from tests.support.certified import resumed
from tests.support.row_outcomes import judge, rows_of_product
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, SOUTH, YEAR, everything, hero_world, rows, run_of
from tests.yearend.test_rollover_steps import (
    HERO,
    RUN_ID,
    answer_to,
    certify,
    no_outbox,
    nobody,
    until_approved,
    until_erased,
)

SECONDS = 60.0
FIRST_DELETE, COMMIT = "DELETE FROM hero", None


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


@pytest.fixture
def before(owner: Engine, run: Run) -> dict[str, Any]:
    """What there was, and then it was archived."""
    found = rows_of_product(owner, run)
    until_approved(run)
    steps.archive(run)
    return found


class Stopped:
    """A step in a thread of its own that stands still at a statement, or right before it commits what it wrote, until
    it may go."""

    def __init__(self, step: Callable[[Run], Any], run: Run, at: str | None) -> None:
        self._there, self._may_go = threading.Event(), threading.Event()
        engine = connect(run.engine.url)
        wrote = False

        def before_statement(*said: Any) -> None:
            nonlocal wrote
            wrote = wrote or said[2].startswith(("INSERT", "UPDATE", "DELETE"))
            if at and at in said[2]:
                self._stand_still()

        event.listen(engine, "before_cursor_execute", before_statement)
        if at is None:
            event.listen(engine, "commit", lambda *_: wrote and self._stand_still())
        self._aside = ThreadPoolExecutor(1)
        self._done = self._aside.submit(step, replace(run, engine=engine))
        assert self._there.wait(SECONDS)

    def result(self) -> Any:
        """Let it go; returns or raises what the step does."""
        self._may_go.set()
        return self._done.result(SECONDS)

    def _stand_still(self, *_: Any) -> None:
        self._there.set()
        assert self._may_go.wait(SECONDS)


def of_own(run: Run) -> Run:
    """The run over connections of its own."""
    return replace(run, engine=connect(run.engine.url))


def aside(work: Callable[[], Any]) -> Future[Any]:
    return ThreadPoolExecutor(1).submit(work)


def wait_for_lock(owner: Engine, of: str = "l.locktype = 'advisory' AND NOT l.granted") -> None:
    """Until somebody waits for the tenant's lock."""
    waiting = text(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        f"WHERE d.datname = current_database() AND {of}"
    )
    for _ in range(600):
        with owner.connect() as connection:
            if connection.scalar(waiting):
                return
        threading.Event().wait(0.02)
    raise AssertionError("nobody waits")


# Holds


def hold_as_the_command_does(run: Run) -> None:
    with tenant_session(run.engine, HERO, exclusive=True) as connection:
        holds.place(connection, HERO, holds.LEGAL, reason="a dispute", by="dana", student_id="n1")


def hold_past_everything(run: Run) -> None:
    """As another program would, that knows the tables only, and not the tenant's lock."""
    with tenant_session(run.engine, HERO) as connection:
        hold_id = connection.scalar(insert_of_a_hold().returning(holds_table.c.hold_id))
        evidence.record(connection, HERO, "hold_set", {"hold": hold_id, "by": "dana"}, None)


def insert_of_a_hold() -> Any:
    return insert(holds_table).values(tenant_id=HERO, kind="legal", student_id="n1", reason="a dispute", set_by="dana")


@pytest.mark.parametrize("hold", others_slow([hold_past_everything, hold_as_the_command_does]))
@pytest.mark.parametrize("at", [FIRST_DELETE, COMMIT], ids=["delete", "commit"])
def test_a_hold_set_while_rows_go_waits_and_counts_from_then_on(
    run: Run, owner: Engine, before: dict[str, Any], hold: Callable[[Run], None], at: str | None
) -> None:
    erase = Stopped(steps.erase, run, at)
    setting = aside(lambda: hold(of_own(run)))
    wait_for_lock(owner)
    assert not setting.done() and rows(owner, "ledger.holds", HERO) == 0
    erase.result()
    setting.result(SECONDS)
    with tenant_session(run.engine, HERO) as connection:
        (placed,) = holds.in_force(connection)
        erased_at = connection.scalar(text("SELECT finished_at FROM ledger.steps WHERE step = 'erase'"))
        assert placed.set_at > erased_at
        (said,) = holds.gone_before(connection)
    assert said.startswith(f"{run.id}: 18 rows were erased for good on 20")
    assert said.endswith(", 27 are in the archive only")
    steps.reset(run)
    assert rows(owner, "hero.point_balances", HERO, balance=20, student_id="n1") == 1, "what was left is held"
    assert rows(owner, "hero.point_balances", HERO, balance=0) == 4
    judge(owner, run, before)


@pytest.mark.parametrize("hold", [hold_as_the_command_does, hold_past_everything])
def test_a_hold_that_is_being_set_is_waited_for(
    run: Run, owner: Engine, before: dict[str, Any], hold: Callable[[Run], None]
) -> None:
    found = everything(owner, HERO, ["hero"])
    setting = Stopped(hold, run, COMMIT)
    erase = aside(lambda: steps.erase(of_own(run)))
    wait_for_lock(owner)
    setting.result()
    with pytest.raises(ProofFailed, match="a hold of hero__riverside-ca__2025-26 changed since its plan 1"):
        erase.result(SECONDS)
    assert everything(owner, HERO, ["hero"]) == found


def test_who_sets_a_hold_while_a_step_runs_is_reported_to_wait(
    run: Run, owner: Engine, before: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    erase = Stopped(steps.erase, run, COMMIT)
    setting = aside(lambda: hold_as_the_command_does(of_own(run)))
    wait_for_lock(owner)
    assert f"another step, import or command works on {HERO}: waiting" in caplog.text
    erase.result()
    setting.result(SECONDS)


# The application


def late_event() -> Any:
    row = {"tenant_id": HERO, "school_year": YEAR.key, "school_id": NORTH, "student_id": "n1", "event_id": 999}
    more = {"employee_id": "t1", "code_id": "north-kind", "location": "Gym", "points": 5}
    return insert(hero.tracking_events).values(**row, **more, occurred_at=func.now())


def late_points() -> Any:
    row = {"tenant_id": HERO, "school_year": YEAR.key, "school_id": SOUTH, "student_id": "s1", "entry_id": 999}
    return insert(hero.points_ledger).values(**row, kind="earned", points=5, entered_at=func.now())


OF_ONE = (hero.tracking_events.c.tenant_id == HERO, hero.tracking_events.c.event_id == 1)
CHANGES = {
    "changed": update(hero.tracking_events).where(*OF_ONE).values(points=6),
    "removed": delete(hero.tracking_events).where(*OF_ONE),
}


@pytest.mark.parametrize("late", others_slow([late_event, late_points]))
@pytest.mark.parametrize("at", [FIRST_DELETE, COMMIT], ids=["delete", "commit"])
def test_a_row_added_while_rows_go_is_neither_lost_nor_overlooked(
    run: Run, owner: Engine, before: dict[str, Any], late: Callable[[], Any], at: str | None
) -> None:
    erase = Stopped(steps.erase, run, at)
    with owner.begin() as connection:
        connection.execute(late())
    name = late().table.fullname
    (row,) = set(everything(owner, HERO, ["hero"])[name]) - set(before[name])
    erase.result()
    assert everything(owner, HERO, ["hero"])[name] == [row]
    steps.reset(run)
    with pytest.raises(ProofFailed, match=rf"{name} still has 1 rows.*trigger the DAG again"):
        steps.verify_reset(run)
    plan = steps.plan(run)
    assert sum(plan.rows.values()) == 1
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.verify_reset):
        step(run)
    judge(owner, run, before, late={name: [row]})


@pytest.mark.parametrize("change", others_slow(list(CHANGES)))
def test_a_row_changed_while_rows_go_stops_it(run: Run, owner: Engine, before: dict[str, Any], change: str) -> None:
    """PostgreSQL refuses the transaction, Airflow tries it again, and then the plan does not hold any more."""
    erase = Stopped(steps.erase, run, FIRST_DELETE)
    with owner.begin() as connection:
        connection.execute(CHANGES[change])
    found = everything(owner, HERO, ["hero"])
    with pytest.raises(DatabaseUnavailable, match="SerializationFailure"):
        erase.result()
    assert everything(owner, HERO, ["hero"]) == found
    with pytest.raises(ProofFailed, match=r"changed since its plan|with other content"):
        steps.erase(run)
    assert everything(owner, HERO, ["hero"]) == found


def test_who_wants_a_table_for_himself_while_rows_go_does_not_make_it_hang(
    run: Run, owner: Engine, before: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """He waits for the deletion, the comparison of its rows waits behind him, and the deletion for the comparison:
    PostgreSQL sees no deadlock in that."""
    monkeypatch.setattr(erasing, "COMPARING_WAITS", "1s")
    erase = Stopped(steps.erase, run, ", 0 FROM hero.tracking_events t")
    wait_for_lock(owner, "l.mode = 'RowExclusiveLock' AND l.relation = 'hero.tracking_events'::regclass")

    def alter() -> None:
        with owner.begin() as connection:
            connection.execute(text("LOCK TABLE hero.tracking_events IN ACCESS EXCLUSIVE MODE"))

    altering = aside(alter)
    wait_for_lock(owner, "l.mode = 'AccessExclusiveLock' AND NOT l.granted")
    with pytest.raises(DatabaseUnavailable, match="LockNotAvailable"):
        erase.result()
    altering.result(SECONDS)
    assert rows(owner, "hero.tracking_events", HERO) == len(before["hero.tracking_events"])
    steps.erase(run)
    judge(owner, run, before)


@pytest.mark.parametrize(
    ("compared", "reported"),
    [
        (None, ZeroDivisionError),
        (ProofFailed("others", "ask"), ProofFailed),
        (DatabaseUnavailable(), ZeroDivisionError),
    ],
    ids=["right", "others", "not compared"],
)
def test_when_a_deletion_fails_it_is_reported_why(
    run: Run,
    before: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    compared: Exception | None,
    reported: type[Exception],
) -> None:
    def compare(*_: Any) -> None:
        if compared:
            raise compared

    monkeypatch.setattr(erasing, "_compare", compare)
    with (
        pytest.raises(reported),
        tenant_session(run.engine, HERO, isolation="REPEATABLE READ") as connection,
        erasing._compared(connection, plans.in_force(connection, run), []),
    ):
        raise ZeroDivisionError


def test_a_row_whose_change_is_not_committed_yet_is_waited_for(run: Run, owner: Engine, before: dict[str, Any]) -> None:
    with owner.connect() as writer:
        writer.execute(CHANGES["changed"])
        erase = aside(lambda: steps.erase(of_own(run)))
        blocked = text("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        with owner.connect() as watching:
            while not watching.scalar(blocked):
                assert not erase.done()
                threading.Event().wait(0.02)
                watching.rollback()
        writer.commit()
    with pytest.raises(DatabaseUnavailable, match="SerializationFailure"):
        erase.result(SECONDS)
    assert rows(owner, "hero.tracking_events", HERO) == 20


def test_what_people_change_meanwhile_of_what_is_kept_stays_theirs(
    run: Run, owner: Engine, before: dict[str, Any]
) -> None:
    erase = Stopped(steps.erase, run, FIRST_DELETE)
    with owner.begin() as connection:
        connection.execute(text("UPDATE hero.behavior_codes SET name = 'Renamed' WHERE tenant_id = :t"), {"t": HERO})
    erase.result()
    steps.reset(run)
    assert steps.verify_reset(run).kept_changed_by_users_since_plan == ["hero.behavior_codes"]
    assert rows(owner, "hero.behavior_codes", HERO, name="Renamed") == 2


def test_points_that_change_while_they_are_reset_stop_it_and_the_next_try_resets_them(
    run: Run, owner: Engine, before: dict[str, Any]
) -> None:
    steps.erase(run)
    reset = Stopped(steps.reset, run, "UPDATE hero.point_balances")
    with owner.begin() as connection:
        connection.execute(text("UPDATE hero.point_balances SET balance = 25 WHERE tenant_id = :t"), {"t": HERO})
    with pytest.raises(DatabaseUnavailable, match="SerializationFailure"):
        reset.result()
    steps.reset(run)
    assert steps.verify_reset(run).rows_left == 0
    judge(owner, run, before)


# A second process, a second run


def exported(run: Run) -> Any:
    return steps.export_reports(run, no_outbox)


def together(*works: Callable[[], Any]) -> list[Any]:
    """Do several pieces of work at the same instant; returns what each returned or raised."""
    barrier = threading.Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        barrier.wait(SECONDS)
        try:
            return work()
        except RolloverError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def test_a_step_in_two_processes_at_once_is_done_once(run: Run, owner: Engine) -> None:
    before = rows_of_product(owner, run)
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    for step in (exported, None, steps.archive, steps.erase, steps.reset, steps.verify_reset, resumed, certify):
        if step is None:
            steps.approve(run, answer_to(plan))
        elif step is resumed:
            resumed(run)
        else:
            one, other = together(*(lambda step=step: step(of_own(run)) for _ in range(2)))
            assert one == other and not isinstance(one, Exception), (step, one, other)
    judge(owner, run, before)
    with owner.connect() as connection:
        done = connection.execute(text("SELECT step, count(*) FROM ledger.steps GROUP BY step")).all()
        kinds = connection.scalars(text("SELECT kind FROM ledger.evidence WHERE tenant_id = :t"), {"t": HERO}).all()
    assert {number for _, number in done} == {1}
    assert len(kinds) == len(set(kinds))


def test_of_two_runs_at_once_one_is_let_in(run: Run, owner: Engine) -> None:
    found = together(*(lambda name=name: steps.guard(of_own(run), name, lambda _: True) for name in ("one", "other")))
    (refused,) = [said for said in found if isinstance(said, Refused)]
    (other,) = [said for said in found if not isinstance(said, Exception)]
    assert "is under way in the run" in str(refused) and other.go is True


def test_of_two_years_at_once_one_is_let_in(run: Run, owner: Engine) -> None:
    past = replace(run, school_year=YEAR.previous)
    found = together(*(lambda year=year: steps.guard(of_own(year), RUN_ID, nobody) for year in (run, past)))
    (refused,) = [said for said in found if isinstance(said, Refused)]
    assert "is not finished. To go on: finish it first" in str(refused)


@pytest.mark.slow
def test_two_runs_that_take_each_other_for_dead_do_everything_once(run: Run, owner: Engine) -> None:
    """Airflow lost sight of one, and both go on: between any two steps of one come steps of the other."""
    before = rows_of_product(owner, run)

    def walk(own: Run) -> Any:
        until_erased(own)
        steps.reset(own)
        return steps.verify_reset(own)

    one, other = together(lambda: walk(of_own(run)), lambda: walk(of_own(run)))
    assert one == other and one.rows_left == 0
    judge(owner, run, before)
    with owner.connect() as connection:
        done = connection.execute(text("SELECT step, count(*) FROM ledger.steps GROUP BY step")).all()
    assert {number for _, number in done} == {1}
    assert rows(owner, "ledger.plans", HERO) == 1
