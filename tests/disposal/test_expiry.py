"""An archived year whose time is over: asked about, erased as approved, proved; and what keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text
from upath import UPath

from rollover import cli
from rollover.archive import manifest as manifests
from rollover.archive.keys import Keys
from rollover.archive.report import write_archived_report
from rollover.archive.restore import into_live, into_schema
from rollover.certificate.destruction import expired_years
from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.database.tables import hero
from rollover.disposal import retention
from rollover.disposal.expiry import erase, freeze
from rollover.disposal.expiry_page import markdown, question
from rollover.disposal.retention import archived_years, due
from rollover.errors import DatabaseFailed, ProofFailed, Refused
from rollover.exports import reports_of
from rollover.ledger import disposal_plans as plans
from rollover.ledger import evidence, holds
from rollover.run import Run
from rollover.tenant import Tenant
from rollover.yearend import steps
from tests.archive.conftest import run_for, until_archived
from tests.support.killable_steps import killed_at
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, SOUTH, YEAR, add_hero, district, everything, run_of
from tests.yearend.test_rollover_steps import HERO, OTHER, answer_to, certify, no_outbox

KEPT = 3
PAST = YEAR.previous
BEFORE, AFTER = (datetime(2028, 7, day, 12, tzinfo=UTC) for day in (1, 20))
"""On either side of three years after Riverside's reset day of 2024-25, which is in July 1-15."""
WHO: dict[str, Any] = {"by": "dana", "reason": "the district asks"}


def kept_for(run: Run, years: int) -> Run:
    return replace(run, product=run.product.model_copy(update={"archive_kept_years": years}))


def known(run: Run) -> Catalog:
    other = district("lakeside-ca")
    districts = {
        d.district: d.model_copy(update={"products": {"hero": d.products["hero"]}}) for d in (run.district, other)
    }
    return Catalog(districts, {"hero": run.product}, ())


def due_of(run: Run) -> list[str]:
    return due(run.engine, known(run), run.storage, run.now)


@pytest.fixture
def past(owner: Engine, engine: Engine, storage: UPath) -> Run:
    """Riverside's last year, archived and certified; Lakeside's too, which no test may touch. Three years are over."""
    run_for("hero", owner, engine, storage)
    found = []
    for name in ("lakeside-ca", "riverside-ca"):
        tenant = Tenant("hero", name)
        with owner.begin() as connection:
            add_hero(connection, tenant.id, PAST)
        run = run_of(engine, storage, year=PAST, tenant=tenant, district=district(name))
        until_archived(run)
        for step in (steps.erase, steps.verify_reset, certify):
            step(run)
        found.append(kept_for(replace(run, now=AFTER), KEPT))
    return found[-1]


def files(run: Run) -> list[Path]:
    return sorted(path for path in Path(manifests.folder_of(run).path).rglob("*") if path.is_file())


def hold(run: Run, **of: str) -> holds.Hold:
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        return holds.place(connection, run.tenant.id, holds.LEGAL, reason="a dispute", by="dana", **of)


def recorded(owner: Engine, kind: str) -> list[dict[str, Any]]:
    with owner.connect() as connection:
        return list(connection.scalars(text("SELECT facts FROM ledger.evidence WHERE kind = :k"), {"k": kind}))


@pytest.mark.slow
def test_a_year_is_due_when_its_years_from_the_reset_date_are_over(past: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert due_of(past) == ["hero__lakeside-ca__2024-25", "hero__riverside-ca__2024-25"]
    assert due_of(replace(past, now=BEFORE)) == []
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    assert due_of(past) == ["hero__lakeside-ca__2024-25"]
    assert due_of(kept_for(past, KEPT + 1)) == []
    for_good = replace(past, product=past.product.model_copy(update={"archive_kept_years": "for_good"}))
    assert due_of(for_good) == []
    with pytest.raises(Refused, match="the rule keeps it for good"):
        freeze(for_good)


def test_what_is_approved_is_erased_and_proved(past: Run, owner: Engine, storage: UPath) -> None:
    lakeside = replace(past, tenant=Tenant.parse(OTHER))
    there, untouched = files(past), {path: path.read_bytes() for path in files(lakeside)}
    other = everything(owner, OTHER, ["hero", "roster", "ledger"])
    live = everything(owner, HERO, ["hero", "roster"])
    assert len(there) == 15 and untouched
    plan = freeze(past)
    assert freeze(past).plan_id == plan.plan_id, "asked again, it is the same plan"
    with tenant_session(past.engine, HERO) as connection:
        shown = markdown(connection, past, plan.content)
    for said in ("2024-25", "45 rows in 15 files", "3 years from the reset date", "| North School | 7 | 27 |"):
        assert said in shown
    assert question(past, plan.content) == "Riverside-Ca · Hero 2024-25: erase 45 archived rows for good?"
    result = erase(past, plan.plan_hash, "kim")
    assert files(past) == [] and not Path(manifests.folder_of(past).path).exists()
    assert {path: path.read_bytes() for path in files(lakeside)} == untouched
    assert everything(owner, OTHER, ["hero", "roster", "ledger"]) == other
    assert everything(owner, HERO, ["hero", "roster"]) == live
    assert (result["rows"], result["files"], result["approved_by"]) == (45, 15, "kim")
    (facts,) = recorded(owner, "archive_expired")
    assert facts.items() >= result.items()
    assert due_of(past) == ["hero__lakeside-ca__2024-25"]
    assert erase(past, plan.plan_hash, "kim") == result, "run again, it does nothing"
    with tenant_session(past.engine, HERO) as connection:
        assert evidence.check(connection).wrong == ()
        assert archived_years(connection) == []
    with pytest.raises(Refused, match="has no archive of 2024-25"):
        freeze(past)


@pytest.mark.slow
def test_the_certificate_is_signed_and_in_the_evidence(past: Run, owner: Engine, capsys: Any) -> None:
    erase(past, freeze(past).plan_hash, "kim")
    (facts,) = recorded(owner, "archive_expired")
    path = UPath(facts["path"])
    assert cli.main(["certificate", "verify", path.path]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    said = json.loads(path.read_bytes())["certificate"]
    assert said["plan"]["approved_by"] == "kim" and len(said["destroyed"]["files"]) == 15
    with tenant_session(past.engine, HERO) as connection:
        assert evidence.certificate_problems(connection, said, facts["sha256"]) == []
    Path(path.path).write_bytes(path.read_bytes().replace(b'"rows": 45', b'"rows": 44', 1))
    assert cli.main(["certificate", "verify", path.path]) == 1


def test_after_it_every_reader_says_so(past: Run, owner: Engine, tmp_path: Path) -> None:
    plan = freeze(past)
    erase(past, plan.plan_hash, "kim")
    said = rf"2024-25 of {HERO} expired on 20\d\d-\d\d-\d\d, plan {plan.plan_hash[:12]}, approved by kim"
    report, keys = reports_of("hero")["behavior_history"], Keys(None)
    for read in (
        lambda: into_live(past.engine, past.tenant, PAST, keys, **WHO),
        lambda: into_schema(owner, past.tenant, PAST, "asked_for", keys, **WHO),
        lambda: write_archived_report(past.engine, past.tenant, PAST, report, past.district, UPath(tmp_path), keys),
    ):
        with pytest.raises(Refused, match=said):
            read()


@pytest.mark.slow
def test_the_command_line_says_when_it_expires_and_that_it_has(
    past: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.support.district_file import DISTRICT

    (tmp_path / "districts").mkdir()
    (tmp_path / "districts" / "riverside-ca.yaml").write_text(f"{DISTRICT}    archive_kept_years: {KEPT}\n")
    monkeypatch.setenv("ROLLOVER_STORAGE", str(past.storage))
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(tmp_path / "districts"))
    assert cli.main(["archive", "list", "riverside-ca"]) == 0
    assert f"not encrypted  expires {freeze(past).content['expires_on']}" in capsys.readouterr().out
    erase(past, freeze(past).plan_hash, "kim")
    assert cli.main(["archive", "list", "riverside-ca"]) == 0
    assert "The archive of 2024-25 of hero__riverside-ca expired on" in (out := capsys.readouterr().out)
    assert out.endswith("0 archived years\n")
    assert cli.main(["archive", "query", "SELECT 1", "--district", "riverside-ca", "--year", "2024-25"]) == 1
    assert "The archive of 2024-25 of hero__riverside-ca expired on" in capsys.readouterr().err


HOLDS: list[dict[str, str]] = [{}, {"school_id": NORTH}, {"student_id": "n1"}]


@pytest.mark.parametrize("of", others_slow(HOLDS), ids=str)
def test_what_a_hold_may_concern_stays(past: Run, of: dict[str, str]) -> None:
    placed = hold(past, **of)
    assert HERO not in "".join(due_of(past))
    with pytest.raises(Refused, match=r"stays: legal hold \d+ on"):
        freeze(past)
    with tenant_session(past.engine, HERO, exclusive=True) as connection:
        holds.lift(connection, HERO, placed.hold_id, reason="settled", by="kim")
    assert f"{HERO}__2024-25" in due_of(past)


@pytest.mark.slow
def test_a_hold_on_a_school_that_is_not_in_it_keeps_nothing(past: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(text("INSERT INTO directory.schools VALUES ('riverside-ca', 'west', 'West School')"))
    hold(past, school_id="west")
    assert f"{HERO}__2024-25" in due_of(past)


def add_file(run: Run) -> None:
    (Path(manifests.folder_of(run).path) / NORTH / "more.parquet").write_bytes(b"more")


CHANGES: dict[str, tuple[Callable[[Run], Any], str]] = {
    "hold": (lambda run: hold(run, student_id="n1"), "stays: legal hold"),
    "file": (add_file, "1 files of the archive of .* changed"),
    "gone": (lambda run: files(run)[0].unlink(), "1 files of the archive of .* changed"),
    "grown": (lambda run: files(run)[0].write_bytes(b"other"), "1 files of the archive of .* changed"),
}


@pytest.mark.parametrize("change", others_slow([*CHANGES]))
def test_what_changed_since_it_was_approved_stops_it(past: Run, change: str) -> None:
    plan = freeze(past)
    do, said = CHANGES[change]
    do(past)
    before = files(past)
    with pytest.raises(Refused, match=said):
        erase(past, plan.plan_hash, "kim")
    assert files(past) == before
    with tenant_session(past.engine, HERO) as connection:
        newest = plans.newest(connection, plans.EXPIRE, PAST.key)
    assert newest is not None and newest.approved_by is None, "no approval is recorded of what does not hold"


@pytest.mark.slow
def test_another_rule_or_another_plan_stops_it(past: Run) -> None:
    plan = freeze(past)
    before = files(past)
    with pytest.raises(Refused, match="the rule of the archive"):
        erase(kept_for(past, KEPT - 1), plan.plan_hash, "kim")
    with pytest.raises(Refused, match="it expires on 2029"):
        erase(kept_for(past, KEPT + 1), plan.plan_hash, "kim")
    with pytest.raises(ProofFailed, match="for another plan"):
        erase(past, "0" * 64, "kim")
    with pytest.raises(Refused, match="no key to sign"):
        erase(replace(past, signing_key=None), plan.plan_hash, "kim")
    assert files(past) == before


@pytest.mark.slow
def test_a_hold_that_comes_while_files_go_stops_the_rest(past: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed task left some files; before it is run again, a hold is set. After it, what is left is asked about."""
    plan, whole = freeze(past), len(files(past))
    killed_after(monkeypatch, 4)
    with pytest.raises(SystemExit):
        erase(past, plan.plan_hash, "kim")
    monkeypatch.undo()
    assert len(files(past)) == whole - 4
    placed = hold(past)
    with pytest.raises(Refused, match="stays: legal hold"):
        erase(past, plan.plan_hash, "kim")
    assert len(files(past)) == whole - 4
    with tenant_session(past.engine, HERO, exclusive=True) as connection:
        holds.lift(connection, HERO, placed.hold_id, reason="settled", by="lee")
    again = freeze(past)
    assert again.plan_hash != plan.plan_hash and len(again.content["gone"]) == 3, "a manifest has no receipt"
    assert again.approved_by is None
    erase(past, again.plan_hash, "lee")
    assert files(past) == []


def killed_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The task dies when it would remove the next file after some."""
    left = iter(range(count))
    unlink = type(UPath("file:///x")).unlink

    def dying(path: UPath, *args: Any, **kwargs: Any) -> None:
        if next(left, None) is None:
            raise SystemExit("killed")
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(type(UPath("file:///x")), "unlink", dying)


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_when_it_is_run_again(
    past: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = freeze(past)
    killed_after(monkeypatch, 4)
    with pytest.raises(SystemExit):
        erase(past, plan.plan_hash, "kim")
    monkeypatch.undo()
    assert len(files(past)) == 15 - 4 and recorded(owner, "archive_expired") == []
    assert erase(past, plan.plan_hash, "kim")["files"] == 15
    assert files(past) == [] and len(recorded(owner, "archive_expired")) == 1


def test_two_at_once_erase_once(past: Run, owner: Engine) -> None:
    plan = freeze(past)
    done: list[Any] = []
    both = [Thread(target=lambda: done.append(erase(past, plan.plan_hash, "kim"))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(done) == 2 and done[0] == done[1]
    assert len(recorded(owner, "archive_expired")) == 1 and files(past) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_instant_it_ends_when_it_is_run_again(past: Run, owner: Engine) -> None:
    plan, instant, left = freeze(past), 1, [len(files(past))]
    while killed_at(instant, lambda own: erase(own, plan.plan_hash, "kim"), past):
        left.append(len(files(past)))
        assert recorded(owner, "archive_expired") == [], "evidence before its end"
        instant += 1
    assert left == sorted(left, reverse=True) and len(set(left)) > 3 and instant > 30
    assert files(past) == [] and len(recorded(owner, "archive_expired")) == 1
    (said,) = expired_years(past.storage, district="riverside-ca")
    assert "2024-25" in said
    with tenant_session(past.engine, HERO) as connection:
        assert evidence.check(connection).wrong == ()


@pytest.mark.slow
def test_files_go_wherever_they_lie(past: Run, owner: Engine) -> None:
    """The storage has moved since, to another kind: receipts have its old address."""
    far = UPath("memory://expiry/storage")
    for path in files(past):
        target = far / str(path.relative_to(past.storage.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    moved = replace(past, storage=far)
    plan = freeze(moved)
    assert (plan.content["rows"], len(plan.content["files"]), plan.content["gone"]) == (45, 15, [])
    erase(moved, plan.plan_hash, "kim")
    assert far.fs.find(manifests.folder_of(moved).path) == [] and len(files(past)) == 15
    (facts,) = recorded(owner, "archive_expired")
    assert UPath(facts["path"]).exists()


@pytest.mark.slow
def test_a_year_that_was_put_back_stays_until_it_is_rolled_over_again(past: Run, owner: Engine) -> None:
    into_live(past.engine, past.tenant, PAST, Keys(None), **WHO)
    assert f"{HERO}__2024-25" not in due_of(past)
    with pytest.raises(Refused, match=r"rows of the year are live in hero.action_assignments"):
        freeze(past)


@pytest.mark.slow
def test_a_copy_in_a_schema_is_reported_before_it_is_approved(past: Run, owner: Engine) -> None:
    into_schema(owner, past.tenant, PAST, "asked_for", Keys(None), **WHO)
    plan = freeze(past)
    with tenant_session(past.engine, HERO) as connection:
        assert "copied into database schemas, which are not erased: asked\\_for." in markdown(
            connection, past, plan.content
        )


@pytest.mark.slow
def test_rows_that_come_after_it_are_archived_anew(past: Run, owner: Engine) -> None:
    erase(past, freeze(past).plan_hash, "kim")
    with owner.begin() as connection:
        late = {"tenant_id": HERO, "school_year": PAST.key, "school_id": SOUTH, "student_id": "s1"}
        more = {"entry_id": 99, "kind": "earned", "points": 5, "entered_at": past.reset_at}
        connection.execute(insert(hero.points_ledger).values(**late, **more))
    again = replace(past, now=datetime(2026, 8, 2, tzinfo=UTC))
    assert steps.guard(again, "late", lambda _: False).go is True
    plan = steps.plan(again)
    steps.export_reports(again, no_outbox)
    steps.approve(again, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.verify_reset):
        step(again)
    issued = json.loads(UPath(certify(again).path).read_text())["certificate"]
    ends = [{row["expired_at"] is None for row in disposal["archives"]} for disposal in issued["disposals"]]
    assert ends == [{False}, {True}]
    (_, manifest), *_ = manifests.newest(past.storage, district="riverside-ca")
    assert {file.plan_no for file in manifest.files} == {2}
    assert into_live(past.engine, past.tenant, PAST, Keys(None), **WHO)["rows"] == {"hero.points_ledger": 1}


@pytest.mark.slow
def test_a_plan_is_a_record(past: Run) -> None:
    freeze(past)
    for change in ("DELETE FROM {}", "UPDATE {} SET content = '{{}}'", "UPDATE {} SET done_at = now()"):
        with pytest.raises(DatabaseFailed), tenant_session(past.engine, HERO) as connection:
            connection.execute(text(change.format("ledger.archive_plans")))


@pytest.mark.slow
def test_an_approval_stands(past: Run, owner: Engine) -> None:
    erase(past, freeze(past).plan_hash, "kim")
    with pytest.raises(Exception, match="is a record"), owner.begin() as connection:
        connection.execute(text("UPDATE ledger.archive_plans SET approved_by = 'lee'"))
