"""Files that are written and never forgotten: abandoned plans, exports without a receipt, files that nobody knows, and
what a power cut would lose."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, select, text, update
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import directory, hero, ledger
from rollover.errors import ProofFailed
from rollover.ledger import artifacts
from rollover.ledger.results import Certified
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.yearend import steps, stray_files
from tests.support.certified import resumed
from tests.support.outboxes import FolderOutbox
from tests.support.small_district import NORTH, add_hero, hero_world, rows, run_of
from tests.yearend.test_rollover_steps import HERO, RUN_ID, answer_to, no_outbox, nobody

YEAR_FOLDERS = ("archive/hero/riverside-ca/2025-26", "exports/hero/riverside-ca/2025-26")


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


@pytest.fixture
def outbox(tmp_path: Path) -> FolderOutbox:
    return FolderOutbox(tmp_path / "sftp")


def plan_and_approve(run: Run, outbox: Outbox = no_outbox) -> int:
    """Freeze a plan and approve it; return its number."""
    plan = steps.plan(run)
    steps.export_reports(run, outbox)
    steps.approve(run, answer_to(plan))
    return int(plan.plan_no)


def begin(run: Run) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)


def until_the_first_plan_is_refused(run: Run, outbox: Outbox = no_outbox) -> None:
    """Archive by a plan that its erase then refuses, since a subscription turned out to be ended."""
    begin(run)
    assert plan_and_approve(run, outbox) == 1
    steps.archive(run)


def end_subscription(owner: Engine) -> None:
    with owner.begin() as connection:
        subscription = update(directory.subscriptions).where(directory.subscriptions.c.school_id == NORTH)
        connection.execute(subscription.values(state="ended", ends_on=date(2025, 12, 31)))


def finish(run: Run, outbox: Outbox = no_outbox) -> Certified:
    steps.archive(run)
    steps.erase(run)
    steps.reset(run)
    steps.verify_reset(run)
    resumed(run)
    return steps.certify(run, outbox)


def files(run: Run) -> set[str]:
    """The files of the year in storage."""
    root = Path(run.storage.path)
    return {str(p.relative_to(root)) for folder in YEAR_FOLDERS for p in (root / folder).rglob("*") if p.is_file()}


def test_an_abandoned_archive_is_removed_before_the_certificate(run: Run, owner: Engine) -> None:
    until_the_first_plan_is_refused(run)
    assert len([name for name in files(run) if name.endswith(".parquet")]) > 5
    end_subscription(owner)
    with pytest.raises(ProofFailed, match="changed since its plan 1"):
        steps.erase(run)
    assert plan_and_approve(run) == 2
    finish(run)
    assert [name for name in files(run) if name.startswith("archive")] == []
    assert {name for name in files(run) if ".plan-2." not in name} == set()


def test_a_student_deleted_between_two_plans_is_in_no_file(run: Run, owner: Engine) -> None:
    until_the_first_plan_is_refused(run)
    events = hero.tracking_events.c
    with owner.begin() as connection:
        gone = connection.scalar(
            select(events.student_id).where(events.tenant_id == HERO, events.school_id == NORTH).limit(1)
        )
        connection.execute(delete(hero.tracking_events).where(events.tenant_id == HERO, events.student_id == gone))
    with pytest.raises(ProofFailed, match="changed since its plan 1"):
        steps.erase(run)
    plan_and_approve(run)
    finish(run)
    archived = [name for name in files(run) if name.endswith(".parquet")]
    assert archived and all(name.endswith(".plan-2.parquet") for name in archived)


def test_a_part_file_is_removed_where_the_next_plan_archives_nothing(run: Run, owner: Engine) -> None:
    begin(run)
    plan_and_approve(run)
    part = run.storage / YEAR_FOLDERS[0] / NORTH / ".tracking_events.parquet.0123abcd.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"Zebrowski")
    end_subscription(owner)
    assert plan_and_approve(run) == 2
    finish(run)
    assert not part.exists()


def test_exports_of_a_broken_outbox_are_gone_from_storage_and_outbox(
    run: Run, owner: Engine, outbox: FolderOutbox
) -> None:
    begin(run)
    steps.plan(run)
    outbox.broken = {"tardies.csv"}
    with pytest.raises(OSError, match="no space left"):
        steps.export_reports(run, outbox)
    assert outbox.listing("/") and rows(owner, "ledger.exports", HERO) == 0
    outbox.broken = set()
    end_subscription(owner)
    assert plan_and_approve(run, outbox) == 2
    issued = finish(run, outbox)
    year = f"{run.config.outbox}/2025-26"
    with tenant_session(run.engine, HERO) as connection:
        receipts = connection.execute(select(ledger.exports.c.file).where(ledger.exports.c.plan_no == 2)).scalars()
        expected = {f"{year}/{file}" for file in receipts if file != "roster_check.csv"}
    expected |= {f"{year}/certificate_{UPath(path).name}" for path in (issued.path, issued.pdf)}
    assert set(outbox.listing("/")) == expected
    assert {name for name in files(run) if ".plan-2." not in name} == set()


def test_the_archive_of_a_plan_that_was_run_stays(run: Run, owner: Engine) -> None:
    begin(run)
    plan_and_approve(run)
    steps.archive(run)
    steps.erase(run)
    first = files(run)
    steps.reset(run)
    with owner.begin() as connection:
        connection.execute(delete(hero.behavior_codes).where(hero.behavior_codes.c.tenant_id == HERO))
        add_hero(connection, HERO)
    assert plan_and_approve(run) == 2
    steps.archive(run)
    steps.erase(run)
    steps.verify_reset(run)
    resumed(run)
    steps.certify(run, no_outbox)
    assert first < files(run)


def test_nothing_is_removed_while_the_plan_in_force_is_not_erased(run: Run) -> None:
    until_the_first_plan_is_refused(run)
    before = files(run)
    with tenant_session(run.engine, HERO) as connection:
        assert artifacts.remove_abandoned(connection, run, no_outbox) == 0
    assert files(run) == before


def test_a_file_that_nobody_knows_refuses_the_certificate(run: Run) -> None:
    begin(run)
    plan_and_approve(run)
    strange = run.storage / YEAR_FOLDERS[0] / "copy.parquet"
    strange.parent.mkdir(parents=True, exist_ok=True)
    strange.write_bytes(b"x")
    with pytest.raises(ProofFailed, match=r"nobody knows .*copy.parquet.* move it away"):
        finish(run)
    strange.unlink()
    steps.certify(run, no_outbox)


def test_folders_are_held_against_the_ledger_both_ways(run: Run, outbox: FolderOutbox) -> None:
    def look() -> list[str]:
        with tenant_session(run.engine, HERO) as connection:
            return stray_files.strays(connection, run.tenant, run.storage, run.config.outbox, outbox)

    begin(run)
    plan_and_approve(run, outbox)
    uploading = f"{run.config.outbox}/2025-26/.{Path(outbox.listing(run.config.outbox)[0]).name}.part"
    outbox.deliver(run.storage / YEAR_FOLDERS[1] / "tardies.csv", uploading)
    assert not any(".part" in said for said in look()), "a file on its way to the outbox is no stray"
    outbox.remove(uploading)
    finish(run, outbox)
    outbox.deliver(run.storage / YEAR_FOLDERS[1] / "tardies.csv", uploading)
    assert any(".part on SFTP" in said for said in look()), "but what is left of one is"
    outbox.remove(uploading)
    missing = [said for said in look() if "roster_check.csv" not in said]  # only the test's ledger speaks of that file
    assert missing == []
    part = run.storage / YEAR_FOLDERS[1] / ".tardies.csv.0123abcd.part"
    unknown = [run.storage / "certificates/hero/riverside-ca/x.json", run.storage / "imports" / f"{HERO}__0123" / "a"]
    for path in (part, *unknown):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    outbox.deliver(unknown[0], f"{run.config.outbox}/2025-26/strange.csv")
    (run.storage / YEAR_FOLDERS[1] / "tardies.csv").unlink()
    found = look()
    expected = ["tardies.csv.0123abcd.part", "x.json", f"{HERO}__0123", "strange.csv on SFTP", "tardies.csv is missing"]
    for said in expected:
        assert any(said in problem for problem in found), said
    with pytest.raises(ProofFailed, match=r"Folders and ledger differ: hero__riverside-ca: .*strange\.csv on SFTP"):
        stray_files.refuse_strays({HERO: found})
    stray_files.refuse_strays({HERO: []})


def test_the_working_role_cannot_forget_a_file(run: Run) -> None:
    begin(run)
    plan_and_approve(run)
    for statement in ("DELETE FROM ledger.artifacts", "UPDATE ledger.artifacts SET path = 'x'"):
        with pytest.raises(Exception, match="InsufficientPrivilege"), tenant_session(run.engine, HERO) as connection:
            connection.execute(text(statement))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Disk:
    """What a power cut leaves below a folder: files and folder entries that were synced."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._files: set[int] = set()
        self._entries: dict[Path, set[str]] = {root: names_in(root)}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def cut_the_power(self) -> list[str]:
        """Remove what was not synced; return its paths."""
        lost = [path for path in sorted(self.root.rglob("*")) if path.is_file() and not self._survives(path)]
        for path in lost:
            path.unlink()
        return [str(path) for path in lost]

    def _sync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            self._entries[path] = names_in(path)
        else:
            self._files.add(os.fstat(descriptor).st_ino)

    def _survives(self, path: Path) -> bool:
        chain = [path, *(parent for parent in path.parents if parent != self.root and self.root in parent.parents)]
        return path.stat().st_ino in self._files and all(
            link.name in self._entries.get(link.parent, set()) for link in chain
        )


def test_what_lets_rows_be_erased_survives_a_power_cut(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, monkeypatch)
    begin(run)
    plan_and_approve(run)
    steps.archive(run)
    assert disk.cut_the_power() == []
    steps.erase(run)
    steps.reset(run)
    steps.verify_reset(run)  # reads every file again


def test_what_was_not_synced_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of these tests loses what it should."""
    disk = Disk(tmp_path, monkeypatch)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").write_bytes(b"x")
    assert disk.cut_the_power() == [str(tmp_path / "new" / "file")]
