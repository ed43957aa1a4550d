"""Two people are two people: whoever runs a command is the database login, and nobody rewrites who signed what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from upath import UPath

from rollover import cli
from rollover.database.session import connect, tenant_session
from rollover.errors import DatabaseFailed, Refused
from rollover.ledger import evidence, holds, identity
from rollover.run import Run
from tests.conftest import pooled
from tests.support.small_district import district, hero_world, run_of
from tests.yearend.test_rollover_steps import HERO, until_approved


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


@pytest.fixture
def command(
    run: Run,
    login_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Run a command with a database login, while the environment claims somebody else."""
    file = district().model_dump(mode="json", exclude_defaults=True)
    file["products"] = {"hero": file["products"]["hero"]}
    (tmp_path / "riverside-ca.yaml").write_text(json.dumps(file))
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "PGUSER"):
        monkeypatch.setenv(name, "anybody")

    def command(login: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of(login))
        code = cli.main(arguments)
        said = capsys.readouterr()
        return code, said.out + said.err

    return command


@pytest.fixture
def dana(login_of: Callable[[str], str]) -> Iterator[Engine]:
    with pooled(connect(login_of("dana")).url) as engine:
        yield engine


SET = ("hold", "set", HERO, "--kind", "legal", "--reason", "a dispute")
LIFT = ("hold", "lift", HERO, "1", "--reason", "settled")


def test_nobody_lifts_their_own_hold_by_another_name(command: Callable[..., tuple[int, str]], owner: Engine) -> None:
    assert command("dana", *SET)[0] == 0
    code, said = command("dana", *LIFT)
    assert code == 1 and "dana set hold 1: a second person lifts it" in said
    assert command("kim", *LIFT)[0] == 0
    with owner.connect() as connection:
        signed = connection.execute(text("SELECT set_by, lifted_by FROM ledger.holds")).one()
        recorded = connection.scalars(text("SELECT facts ->> 'by' FROM ledger.evidence ORDER BY evidence_id")).all()
    assert tuple(signed) == ("dana", "kim") and recorded == ["dana", "kim"]


@pytest.mark.parametrize("login", ["rollover", "postgres"])
@pytest.mark.parametrize(
    "arguments",
    [
        SET,
        LIFT,
        ("resume", HERO, "--reason", "x"),
        ("switch-on", HERO, "notification_switch", "--reason", "x"),
        ("roster", "undo", HERO, "--reason", "x"),
        ("roster", "decide", HERO, "x", "approve", "--seen", "0123456789ab", "--reason", "x"),
        ("archive", "destroy-key", HERO, "--why", "x"),
        ("archive", "restore", HERO, "2025-26", "--live", "--reason", "x"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]) if isinstance(arguments, tuple) else None,
)
def test_a_shared_login_signs_nothing(
    command: Callable[..., tuple[int, str]], login: str, arguments: tuple[str, ...]
) -> None:
    code, said = command(login, *arguments)
    assert code == 1 and f"The database login '{login}' is shared" in said and "rollover person add" in said


def test_a_personal_login_signs_as_itself_only(run: Run, dana: Engine) -> None:
    assert identity.caller(dana) == identity.Caller("dana", True)
    with pytest.raises(DatabaseFailed, match=r"InsufficientPrivilege.*holds.*set_by"):
        place(dana, by="kim")
    hold = place(dana, by="dana")
    with pytest.raises(DatabaseFailed, match=r"InsufficientPrivilege.*holds.*lifted_by"):
        lift(dana, hold, by="kim")


def test_a_person_has_one_name_in_airflow_and_in_the_database(run: Run) -> None:
    hold = place(run.engine, by="dana")
    with pytest.raises(Refused, match="a second person lifts it"):
        lift(run.engine, hold, by="Dana")
    with pytest.raises(DatabaseFailed, match="second_person"), tenant_session(run.engine, HERO) as connection:
        connection.execute(text("UPDATE ledger.holds SET lifted_by = 'DANA', lift_reason = 'x', lifted_at = now()"))


def place(engine: Engine, by: str) -> holds.Hold:
    with tenant_session(engine, HERO, exclusive=True) as connection:
        return holds.place(connection, HERO, holds.LEGAL, reason="a dispute", by=by)


def lift(engine: Engine, hold: holds.Hold, by: str) -> None:
    with tenant_session(engine, HERO, exclusive=True) as connection:
        holds.lift(connection, HERO, hold.hold_id, reason="settled", by=by)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.holds SET lifted_at = now()",
        "UPDATE ledger.holds SET lifted_by = 'kim', lift_reason = 'x', lifted_at = now()",
        "UPDATE ledger.holds SET reason = 'another'",
        "DELETE FROM ledger.holds",
        "INSERT INTO ledger.holds (tenant_id, kind, reason, set_by) VALUES ('hero__riverside-ca', 'legal', 'x', 'lee')",
        "UPDATE ledger.plans SET approved_by = 'kim', approved_at = now()",
        "UPDATE ledger.plans SET approved_by = NULL, approved_at = NULL",
        "UPDATE ledger.plans SET plan_hash = 'x'",
        "UPDATE ledger.pauses SET ended_at = now()",
        "UPDATE ledger.pauses SET ended_by = 'kim', ended_at = now()",
        "UPDATE ledger.rollovers SET state = 'certified'",
        "UPDATE ledger.imports SET decision = 'approve', decided_by = 'kim', decided_at = now()",
        "UPDATE ledger.imports SET decided_by = 'kim'",
    ],
)
@pytest.mark.parametrize("who", ["the working role", "the owner"])
def test_the_ledger_does_not_take_what_nobody_did(run: Run, owner: Engine, statement: str, who: str) -> None:
    place(run.engine, by="dana")
    until_approved(run)
    with owner.begin() as connection:
        imported = (
            "INSERT INTO ledger.imports (tenant_id, import_id, state) VALUES ('hero__riverside-ca', 'i', 'in_review')"
        )
        connection.execute(text(imported))
    with pytest.raises(Exception, match=r"Privilege|Violation"):
        if who == "the owner":
            with owner.begin() as connection:
                connection.execute(text(statement))
        else:
            with tenant_session(run.engine, HERO) as connection:
                connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE ledger.holds SET lifted_by = 'kim', lift_reason = 'x', lifted_at = now()", "hold 1 was lifted by kim"),
        ("UPDATE ledger.holds SET set_by = 'kim'", "hold 1 is not in the chain as it is in the ledger"),
        ("DELETE FROM ledger.holds", r"hold 1 is in the chain \(hold_set\), and not so in the ledger"),
        ("UPDATE ledger.plans SET approved_by = 'kim'", "plan 1 of .* was approved by kim, which is not in the chain"),
        (
            "UPDATE ledger.plans SET approved_by = NULL, approved_at = NULL",
            "the approval of .* by dana is in the chain, and not so in the ledger",
        ),
        ("UPDATE ledger.pauses SET ended_by = 'kim', ended_at = now()", "pause .* was ended by kim"),
        ("UPDATE ledger.rollovers SET state = 'certified'", "is certified without a certificate"),
        (
            "INSERT INTO ledger.imports (tenant_id, import_id, state, decision, decided_by, decided_at) "
            "VALUES ('hero__riverside-ca', 'i', 'ready', 'approve', 'kim', now())",
            "import i was decided about by kim",
        ),
        (
            "INSERT INTO ledger.archive_plans "
            "(tenant_id, kind, school_year, plan_hash, content, approved_by, approved_at) "
            "VALUES ('hero__riverside-ca', 'expire', '2024-25', 'h', '{}', 'kim', now())",
            "archive plan .* was approved by kim",
        ),
    ],
)
def test_the_chain_tells_what_an_owner_without_triggers_wrote(
    run: Run, owner: Engine, statement: str, said: str
) -> None:
    place(run.engine, by="dana")
    until_approved(run)
    with tenant_session(run.engine, HERO) as connection:
        assert evidence.check(connection).wrong == ()
    with owner.begin() as connection:
        for table in ("holds", "plans", "pauses", "rollovers", "imports", "archive_plans"):
            connection.execute(text(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER"))
        connection.execute(text(statement))
    with tenant_session(run.engine, HERO) as connection:
        wrong = evidence.check(connection).wrong
    assert any(re.search(said, sentence) for sentence in wrong), wrong


def test_a_hold_whose_student_was_exchanged_is_found(run: Run, owner: Engine) -> None:
    place(run.engine, by="dana")
    with owner.begin() as connection:
        connection.execute(text("ALTER TABLE ledger.holds DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE ledger.holds SET student_id = 's2'"))
    with tenant_session(run.engine, HERO) as connection:
        assert holds.altered(connection) == ["hold 1 is not as it was set"]


def test_a_person_who_has_left_signs_nothing_more(owner: Engine, login_of: Callable[[str], str]) -> None:
    with owner.begin() as connection:
        identity.add_person(connection, "lee o'neil", None)
        assert "lee o'neil" in identity.persons(connection)
    assert identity.person(connect(login_of("lee o'neil"))) == "lee o'neil"
    with owner.begin() as connection:
        identity.remove_person(connection, "lee o'neil")
        assert "lee o'neil" not in identity.persons(connection)
        with pytest.raises(Refused, match="is not a personal login"):
            identity.remove_person(connection, "rollover")
        connection.execute(text("""DROP ROLE "lee o'neil" """))
