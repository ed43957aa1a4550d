"""The chain of evidence: who can change it, and what is found out where somebody did."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Executable, bindparam, delete, insert, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from upath import UPath

from rollover import cli
from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import DatabaseFailed
from rollover.ledger import evidence
from rollover.run import Run
from rollover.yearend import steps
from tests.support.certified import files_of, until_resumed
from tests.support.sampling import others_slow
from tests.support.small_district import PRODUCTS, district, hero_world, run_of
from tests.yearend.test_rollover_steps import HERO, OTHER, RUN_ID, certify, nobody, until_approved, until_erased

RECORDS = (
    *(ledger.evidence, ledger.steps, ledger.plan_lines, ledger.plan_subscriptions),
    *(ledger.exports, ledger.archives, ledger.certificates),
)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def chain_of(run: Run) -> evidence.Chain:
    with tenant_session(run.engine, run.tenant.id) as connection:
        return evidence.check(connection)


def tamper(owner: Engine, statement: str, **values: Any) -> None:
    """What an owner does who has taken the trigger away."""
    with owner.begin() as connection:
        for table in (*RECORDS, ledger.pauses, ledger.rollovers):
            connection.execute(text(f"ALTER TABLE {table.fullname} DISABLE TRIGGER USER"))
        connection.execute(text(statement), {"t": HERO, **values})


def test_each_step_is_a_link_and_the_chain_holds(run: Run) -> None:
    assert chain_of(run) == evidence.Chain(0, evidence.FIRST, (), ())
    until_approved(run)
    chain = chain_of(run)
    assert (chain.entries, chain.broken, chain.wrong) == (6, (), ())
    with tenant_session(run.engine, HERO, exclusive=True) as connection:
        head = evidence.record(connection, HERO, "test", {"grades": {10: "a", 2: "b"}, "share": 0.1}, None)
    assert chain_of(run) == evidence.Chain(7, head, (), ())


def test_tenants_have_chains_of_their_own(run: Run) -> None:
    for tenant_id in (HERO, OTHER, HERO, OTHER):
        with tenant_session(run.engine, tenant_id, exclusive=True) as connection:
            evidence.record(connection, tenant_id, "test", {}, None)
    assert chain_of(run).entries == 2 and chain_of(run).wrong == ()


def changes() -> list[Executable]:
    """Every way to change or remove what a table holds."""
    return [
        statement
        for table in RECORDS
        for statement in (delete(table), update(table).values(tenant_id=OTHER), text(f"TRUNCATE {table.fullname}"))
    ]


def test_the_role_that_works_can_only_add(run: Run) -> None:
    until_erased(run)
    for statement in changes():
        with pytest.raises(DatabaseFailed, match="InsufficientPrivilege"), tenant_session(run.engine, HERO) as session:
            session.execute(statement)


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_a_trigger_refuses_the_superuser_too(run: Run, owner: Engine, role: str) -> None:
    steps.guard(run, RUN_ID, nobody)
    for statement in changes():
        with pytest.raises(DBAPIError, match="is added to, and never changed"), owner.begin() as connection:
            connection.execute(text(f"SET LOCAL session_replication_role = {role}"))
            connection.execute(statement)


def test_a_link_goes_behind_the_last_or_not_in_at_all(run: Run, owner: Engine) -> None:
    until_approved(run)
    with owner.connect() as connection:
        links = connection.execute(
            ledger.evidence.select().where(ledger.evidence.c.tenant_id == HERO).order_by(ledger.evidence.c.evidence_id)
        )
        first, *_, last = [dict(row) for row in links.mappings()]
    new = {**last, "previous_hash": last["hash"], "hash": "a" * 64, "evidence_id": last["evidence_id"] + 100}
    wrong = [
        {**new, "previous_hash": evidence.FIRST},  # a second beginning
        {**new, "previous_hash": first["hash"]},  # a fork
        {**new, "previous_hash": "b" * 64},
        {**new, "evidence_id": first["evidence_id"] - 1},  # read before the others
        {**new, "hash": "not a hash"},
    ]
    for link in wrong:
        with (
            pytest.raises(DatabaseFailed, match=r"SQLSTATE 23000, ledger, evidence"),
            tenant_session(run.engine, HERO) as connection,
        ):
            connection.execute(insert(ledger.evidence).values(link))
    with tenant_session(run.engine, HERO) as connection:
        connection.execute(insert(ledger.evidence).values(new))
    assert chain_of(run).broken == (new["evidence_id"],), "it is in, but its hash is not that of its content"


@pytest.mark.parametrize(
    ("statement", "said"),
    others_slow(
        [
            ("UPDATE ledger.evidence SET facts = '{\"rows\": 1}' WHERE kind = 'plan'", "is not what was recorded"),
            ("UPDATE ledger.evidence SET recorded_at = recorded_at - interval '1 day' WHERE kind = 'plan'", "recorded"),
            ("UPDATE ledger.evidence SET rollover_id = 'x' WHERE kind = 'plan'", "is not what was recorded"),
            ("DELETE FROM ledger.evidence WHERE kind = 'plan'", "does not follow the link before it"),
            ("DELETE FROM ledger.evidence WHERE kind = 'guard'", "does not follow the link before it"),
            ("DELETE FROM ledger.evidence WHERE kind = 'approve'", "approve of .*, plan 1, is not in the chain"),
            ("UPDATE ledger.steps SET result = '{}' WHERE step = 'erase'", "erase of .*, plan 1, is not in the chain"),
        ],
        3,
    ),
)
def test_what_an_owner_changed_is_found(run: Run, owner: Engine, statement: str, said: str) -> None:
    until_erased(run)
    tamper(owner, f"{statement} AND tenant_id = :t")
    with tenant_session(run.engine, HERO) as connection:
        wrong = evidence.check(connection).wrong
    assert any(re.search(said, sentence) for sentence in wrong), wrong


def test_a_link_that_was_made_anew_breaks_the_next(run: Run, owner: Engine) -> None:
    until_erased(run)
    with owner.connect() as connection:
        query = ledger.evidence.select().where(ledger.evidence.c.kind == "plan", ledger.evidence.c.tenant_id == HERO)
        link = dict(connection.execute(query).mappings().one())
    forged = {**{name: link[name] for name in evidence.HASHED}, "facts": {"rows": {}}}
    with owner.begin() as connection:
        connection.execute(text("SET TimeZone TO 'UTC'"))
        connection.execute(text("ALTER TABLE ledger.evidence DISABLE TRIGGER USER"))
        statement = text("UPDATE ledger.evidence SET facts = :f, hash = :h WHERE evidence_id = :id")
        connection.execute(
            statement.bindparams(bindparam("f", type_=JSONB)),
            {"f": forged["facts"], "h": evidence.chain_hash(forged), "id": link["evidence_id"]},
        )
    assert len(chain_of(run).broken) == 1 and chain_of(run).broken[0] > link["evidence_id"]


@pytest.fixture
def command(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`rollover evidence verify`, with arguments, as a data engineer runs it for Riverside."""
    folder = tmp_path / "districts"
    folder.mkdir()
    file = district().model_dump(mode="json", exclude_defaults=True)
    file["products"] = {"hero": file["products"]["hero"]}
    (folder / "riverside-ca.yaml").write_text(json.dumps(file))
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(folder))
    monkeypatch.setenv("ROLLOVER_PRODUCTS", str(PRODUCTS))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", run.engine.url.render_as_string(hide_password=False))
    return lambda *arguments: cli.main(["evidence", "verify", *map(str, arguments)])


def test_the_command_names_entries_head_and_the_first_broken_link(
    run: Run, owner: Engine, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    until_erased(run)
    chain = chain_of(run)
    assert command() == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{HERO}: {chain.entries} entries, head {chain.head}, intact",
        "1 chains, 0 broken",
    ]
    tamper(owner, "UPDATE ledger.evidence SET facts = '{}' WHERE kind IN ('plan', 'archive') AND tenant_id = :t")
    first = chain_of(run).broken[0]
    assert command("riverside-ca") == 1
    assert f"BROKEN, first broken entry {first}\n" in capsys.readouterr().out
    assert command("hero__nowhere") == 2, "a chain that nobody looked at is not whole"


def test_a_chain_cut_at_its_end_is_found_by_a_certificate_in_other_hands(
    run: Run, owner: Engine, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    until_resumed(run)
    certificates = files_of(run)
    for file in certificates:
        assert command("--certificate", file) == 0
        assert "The chain holds the certificate hero__riverside-ca__2025-26/1" in capsys.readouterr().out

    # Everything that was written after the plan, in the ledger too: what is left looks whole by itself.
    tamper(owner, "DELETE FROM ledger.certificates WHERE tenant_id = :t")
    assert command() == 1, "the rollover is certified without a certificate"
    tamper(owner, "UPDATE ledger.rollovers SET state = 'running' WHERE tenant_id = :t")
    assert command() == 0
    tamper(owner, "DELETE FROM ledger.evidence WHERE tenant_id = :t AND kind = 'certify'")
    assert command() == 1, "the ledger's step has no evidence"
    tamper(owner, "DELETE FROM ledger.steps WHERE tenant_id = :t AND step = 'certify'")
    assert command() == 0
    capsys.readouterr()
    assert command("--certificate", certificates[0]) == 1
    assert "no entry that this certificate was issued" in capsys.readouterr().out
    tamper(owner, "DELETE FROM ledger.evidence WHERE tenant_id = :t AND kind = 'resume_sync'")
    tamper(owner, "DELETE FROM ledger.steps WHERE tenant_id = :t AND step = 'resume_sync'")
    assert command() == 1, "the pause was ended by nobody"
    tamper(owner, "UPDATE ledger.pauses SET ended_by = NULL, ended_at = NULL WHERE tenant_id = :t")
    assert command() == 0
    capsys.readouterr()
    assert command("--certificate", certificates[0]) == 1
    assert "is not the head that the certificate names" in capsys.readouterr().out


def test_the_ledgers_own_certificates_hold_the_head_too(run: Run, owner: Engine) -> None:
    until_resumed(run)
    certify(run)
    tamper(owner, "DELETE FROM ledger.evidence WHERE tenant_id = :t AND kind IN ('certify', 'resume_sync')")
    tamper(owner, "DELETE FROM ledger.steps WHERE tenant_id = :t AND step IN ('certify', 'resume_sync')")
    tamper(owner, "UPDATE ledger.pauses SET ended_by = NULL, ended_at = NULL WHERE tenant_id = :t")
    assert chain_of(run).wrong == (f"the chain does not hold what the certificate of {run.id} was issued on",)
