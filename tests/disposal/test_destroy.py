"""The end of a tenant's key: asked for by one person, run by another, and then nobody reads its archive."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text
from upath import UPath

from rollover import cli
from rollover.archive import manifest as manifests
from rollover.archive.keys import Keys
from rollover.archive.restore import into_live
from rollover.database.session import tenant_session
from rollover.database.tables import hero
from rollover.disposal.destroy import Tenancy, ask, destroy
from rollover.disposal.expiry import freeze
from rollover.errors import DatabaseFailed, ProofFailed, Refused
from rollover.ledger import evidence, holds
from rollover.run import Run
from rollover.yearend import steps
from tests.archive.conftest import run_for, until_archived
from tests.disposal.test_expiry import AFTER, HOLDS, KEPT, PAST, files, hold, kept_for, recorded
from tests.support.district_file import DISTRICT
from tests.support.killable_steps import killed_at
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, YEAR, add_hero, run_of, signing_key
from tests.yearend.test_rollover_steps import HERO, OTHER, RUN_ID, answer_to, certify, no_outbox, nobody

WHO: dict[str, Any] = {"by": "dana", "reason": "the district asks"}
WHY = {"by": "dana", "why": "the contract has ended"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


@pytest.fixture
def past(owner: Engine, engine: Engine, storage: UPath, keys: Keys) -> Run:
    """Riverside's last year, archived with its key and certified."""
    run_for("hero", owner, engine, storage)
    for tenant_id in (HERO, OTHER):
        keys.make(tenant_id)
    with owner.begin() as connection:
        add_hero(connection, HERO, PAST)
    run = run_of(engine, storage, year=PAST, archive_keys=keys.folder)
    until_archived(run)
    for step in (steps.erase, steps.verify_reset, certify):
        step(run)
    return run


@pytest.fixture
def of(past: Run) -> Tenancy:
    return Tenancy(past.engine, past.tenant, past.district, past.product, past.storage, past.signing_key)


def test_one_asks_another_does_it_and_nobody_reads_it_any_more(
    past: Run, of: Tenancy, keys: Keys, owner: Engine
) -> None:
    key, secret = keys.of(HERO), keys.path(HERO).read_bytes()
    other, archived = keys.path(OTHER).read_bytes(), [path.read_bytes() for path in files(past)]
    plan = ask(of, keys, **WHY)
    assert plan.content["years"] == [{"school_year": "2024-25", "files": 14, "rows": 56, "not_encrypted": 0}]
    assert keys.path(HERO).read_bytes() == secret, "nothing is destroyed yet"
    done = destroy(of, keys, plan_hash=plan.plan_hash[:12], by="kim")
    assert not keys.path(HERO).exists() and keys.path(OTHER).read_bytes() == other
    assert [path.read_bytes() for path in files(past)] == archived, "the files stay, and are nothing but noise"
    (facts,) = recorded(owner, "archive_key_destroyed")
    assert facts.items() >= done.items()
    assert (done["key_id"], done["asked_by"], done["approved_by"]) == (key.id, "dana", "kim")
    said = rf"The key {key.id} of the archive of 2024-25 of {HERO} was destroyed on 20.*by dana, approved by kim"
    with pytest.raises(Refused, match=said):
        into_live(past.engine, past.tenant, PAST, keys, **WHO)
    assert destroy(of, keys, plan_hash=plan.plan_hash, by="kim") == done, "run again, it does nothing"
    with tenant_session(past.engine, HERO) as connection:
        assert evidence.check(connection).wrong == ()


@pytest.mark.slow
def test_the_certificate_is_signed_and_in_the_evidence(past: Run, of: Tenancy, keys: Keys, owner: Engine) -> None:
    key_id = keys.of(HERO).id
    destroy(of, keys, plan_hash=ask(of, keys, **WHY).plan_hash, by="kim")
    (facts,) = recorded(owner, "archive_key_destroyed")
    assert cli.main(["certificate", "verify", UPath(facts["path"]).path]) == 0
    said = json.loads(UPath(facts["path"]).read_bytes())["certificate"]
    assert said["destroyed"]["key_id"] == key_id and said["school_year"] == "2024-25"
    with tenant_session(past.engine, HERO) as connection:
        assert evidence.certificate_problems(connection, said, facts["sha256"]) == []


@pytest.mark.slow
def test_nobody_destroys_it_alone(past: Run, of: Tenancy, keys: Keys) -> None:
    plan = ask(of, keys, **WHY)
    with pytest.raises(Refused, match="dana asked for it: a second person"):
        destroy(of, keys, plan_hash=plan.plan_hash, by="dana")
    with pytest.raises(DatabaseFailed, match="second_person"), tenant_session(past.engine, HERO) as connection:
        connection.execute(text("UPDATE ledger.archive_plans SET approved_by = asked_by, approved_at = now()"))
    for wrong in ("", plan.plan_hash[:11], "0" * 64):
        with pytest.raises(Refused, match="is not"):
            destroy(of, keys, plan_hash=wrong, by="kim")
    with pytest.raises(Refused, match="no key to sign"):
        destroy(replace(of, signing_key=None), keys, plan_hash=plan.plan_hash, by="kim")
    assert keys.path(HERO).exists()


@pytest.mark.parametrize("when", others_slow(["after", "before"]))
@pytest.mark.parametrize("on", others_slow(HOLDS), ids=str)
def test_a_hold_keeps_the_key(past: Run, of: Tenancy, keys: Keys, on: dict[str, str], when: str) -> None:
    if when == "before":
        hold(past, **on)
        with pytest.raises(Refused, match=r"stays: legal hold"):
            ask(of, keys, **WHY)
        return
    plan = ask(of, keys, **WHY)
    placed = hold(past, **on)
    with pytest.raises(Refused, match=r"stays: legal hold"):
        destroy(of, keys, plan_hash=plan.plan_hash, by="kim")
    assert keys.path(HERO).exists()
    with tenant_session(past.engine, HERO, exclusive=True) as connection:
        holds.lift(connection, HERO, placed.hold_id, reason="settled", by="kim")
    destroy(of, keys, plan_hash=plan.plan_hash, by="kim")


@pytest.mark.slow
def test_what_changed_since_it_was_asked_for_stops_it(past: Run, of: Tenancy, keys: Keys) -> None:
    plan = ask(of, keys, **WHY)
    current = replace(past, school_year=YEAR)
    steps.guard(current, RUN_ID, nobody)
    with pytest.raises(Refused, match="2025-26 is not finished"):
        destroy(of, keys, plan_hash=plan.plan_hash, by="kim")
    assert keys.path(HERO).exists()


@pytest.mark.slow
def test_another_key_in_its_place_is_not_destroyed(past: Run, of: Tenancy, keys: Keys) -> None:
    plan = ask(of, keys, **WHY)
    keys.path(HERO).write_bytes(keys.path(OTHER).read_bytes())
    with pytest.raises(Refused, match="which is not there"):
        destroy(of, keys, plan_hash=plan.plan_hash, by="kim")
    assert keys.path(HERO).exists()


@pytest.mark.slow
def test_killed_at_any_instant_it_ends_when_it_is_run_again(past: Run, of: Tenancy, keys: Keys, owner: Engine) -> None:
    plan, instant, there = ask(of, keys, **WHY), 1, [True]

    def step(own: Run) -> None:
        destroy(replace(of, engine=own.engine), keys, plan_hash=plan.plan_hash, by="kim")

    while killed_at(instant, step, past):
        there.append(keys.path(HERO).exists())
        assert recorded(owner, "archive_key_destroyed") == [], "evidence before its end"
        instant += 1
    assert there == sorted(there, reverse=True) and set(there) == {True, False} and instant > 20
    assert [path.name for path in keys.path(HERO).parent.iterdir()] == [f"{OTHER}.key"]
    assert len(recorded(owner, "archive_key_destroyed")) == 1


@pytest.mark.slow
def test_a_year_whose_key_is_gone_still_expires(past: Run, of: Tenancy, keys: Keys) -> None:
    destroy(of, keys, plan_hash=ask(of, keys, **WHY).plan_hash, by="kim")
    assert len(freeze(kept_for(replace(past, now=AFTER), KEPT)).content["files"]) == 15


@pytest.mark.slow
def test_a_new_key_opens_nothing_of_the_old(past: Run, of: Tenancy, keys: Keys) -> None:
    destroy(of, keys, plan_hash=ask(of, keys, **WHY).plan_hash, by="kim")
    with pytest.raises(Refused, match="has no key"):
        steps.guard(replace(past, school_year=YEAR), RUN_ID, nobody)
    keys.make(HERO)
    assert steps.guard(replace(past, school_year=YEAR), RUN_ID, nobody).go is True
    with pytest.raises(Refused, match="was destroyed"):
        into_live(past.engine, past.tenant, PAST, keys, **WHO)


def test_the_commands(
    past: Run,
    keys: Keys,
    login_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "districts").mkdir()
    (tmp_path / "districts" / "riverside-ca.yaml").write_text(DISTRICT)
    for name, value in {
        "STORAGE": past.storage,
        "DISTRICTS": tmp_path / "districts",
        "ARCHIVE_KEYS": keys.folder,
        "SIGNING_KEY": signing_key(),
    }.items():
        monkeypatch.setenv(f"ROLLOVER_{name}", str(value))

    def command(person: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of(person))
        monkeypatch.setenv("LOGNAME", "somebody-else")
        code = cli.main(["archive", "destroy-key", HERO, *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    key_id = keys.of(HERO).id
    code, said = command("dana", "--why", "the contract has ended")
    assert code == 0 and "| 2024-25 | 14 | 56 | 0 |" in said and "Nothing is destroyed yet" in said
    plan = said.strip().rpartition(" ")[2]
    code, said = command("dana", "--approve", plan)
    assert code == 1 and "second person" in said
    code, said = command("kim", "--approve", plan)
    assert code == 0 and f"The key {key_id} of {HERO} is destroyed" in said
    assert cli.main(["archive", "query", "SELECT 1", "--year", "2024-25"]) == 1
    assert f"Left out: 2024-25 of {HERO} cannot be read. The archive of {HERO} is encrypted with the key {key_id}" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_rows_that_come_after_it_are_archived_with_a_new_key_and_readable(
    past: Run, of: Tenancy, keys: Keys, owner: Engine
) -> None:
    destroy(of, keys, plan_hash=ask(of, keys, **WHY).plan_hash, by="kim")
    new = keys.make(HERO)
    with owner.begin() as connection:
        late = {"tenant_id": HERO, "school_year": PAST.key, "school_id": NORTH, "student_id": "n1"}
        more = {"entry_id": 99, "kind": "earned", "points": 5, "entered_at": past.reset_at}
        connection.execute(insert(hero.points_ledger).values(**late, **more))
    steps.guard(past, RUN_ID, nobody)
    plan = steps.plan(past)
    steps.export_reports(past, no_outbox)
    steps.approve(past, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.verify_reset):
        step(past)
    said = json.loads(UPath(certify(past).path).read_text())["certificate"]
    assert any("was destroyed since" in claim for claim in said["not_claimed"])
    (_, manifest), *_ = manifests.newest(past.storage)
    assert {file.key_id for file in manifest.files} == {new.id}
    assert into_live(past.engine, past.tenant, PAST, keys, **WHO)["rows"] == {"hero.points_ledger": 1}


@pytest.mark.slow
def test_a_lost_key_cannot_be_destroyed(past: Run, of: Tenancy, keys: Keys) -> None:
    plan = ask(of, keys, **WHY)
    keys.path(HERO).unlink()
    with pytest.raises(Refused, match="has no key"):
        ask(of, keys, **WHY)
    with pytest.raises((Refused, ProofFailed), match="which is not there"):
        destroy(of, keys, plan_hash=plan.plan_hash, by="kim")
