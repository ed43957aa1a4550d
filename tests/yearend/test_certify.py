"""What a certificate says, when it is refused, and that it is written once."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pypdf import PdfReader
from sqlalchemy import Engine, insert, select, text, update
from upath import UPath

from rollover.certificate.check import checked
from rollover.database.session import tenant_session
from rollover.database.tables import directory, ledger, metadata, roster
from rollover.errors import DatabaseFailed, ProofFailed, Refused
from rollover.ledger import plans
from rollover.run import Run
from rollover.yearend import certify as issue
from rollover.yearend import erase as erasing
from rollover.yearend import steps
from tests.support.certified import certificate_of, files_of, resumed, until_resumed
from tests.support.killable_steps import killed_at
from tests.support.outboxes import NoOutbox
from tests.support.small_district import (
    NORTH,
    SOUTH,
    YEAR,
    add_hero,
    district,
    hero_world,
    imagine_world,
    rows,
    run_of,
    unguarded,
)
from tests.yearend.test_rollover_steps import (
    HERO,
    RUN_ID,
    add_row,
    answer_to,
    certify,
    no_outbox,
    nobody,
    until_approved,
    until_erased,
    until_reset,
)

PERSONAL = re.compile(
    r"student_id|person_id|account_id|employee_id|login_id|username|sourced_id|_name$|email|password|"
    r"comment|location|avatar|phone|birth"
)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def state_of(owner: Engine, run: Run) -> str:
    with owner.connect() as connection:
        rollovers = ledger.rollovers
        return connection.scalars(select(rollovers.c.state).where(rollovers.c.rollover_id == run.id)).one()


def test_it_says_what_was_done(run: Run, owner: Engine) -> None:
    run = Run(**{**vars(run), "district": district(agreement="NDPA v2, Exhibit D", own_reset_date=date(2026, 7, 20))})
    until_resumed(run)
    said = certificate_of(run)
    assert said["schema"] == "rollover-certificate-of-disposition/1" and said["number"] == f"{run.id}/1"
    assert said["authority"]["agreement"] == "NDPA v2, Exhibit D"
    assert said["authority"]["reset_date_is"] == "the district's own"
    assert said["authority"]["reset_at"] == {"utc": "2026-07-20T08:00:00+00:00", "local": "2026-07-20T01:00:00-07:00"}
    assert said["scope"]["date_range"] == {"from": "2025-07-01", "to": "2026-06-30"}
    north, south = said["scope"]["schools"]
    assert (north["id"], north["subscription_in_force_on_reset_date"]) == (NORTH, True)
    assert (south["id"], south["subscription_in_force_on_reset_date"]) == (SOUTH, False)
    assert south["subscriptions"] == [
        {
            "state": "ended",
            "starts_on": "2024-07-01",
            "ends_on": "2025-12-31",
            "source": "crm",
            "read_at": {"utc": "2026-08-01T12:00:00+00:00", "local": "2026-08-01T05:00:00-07:00"},
        }
    ]
    assert {row["data_class"] for row in said["scope"]["data_classes"]} >= {"tracking_data", "student_accounts"}

    (disposal,) = said["disposals"]
    counts = ("before", "archived", "erased", "deleted", "remaining")
    assert {row["table"]: tuple(row[name] for name in counts) for row in disposal["tables"]} == {
        "hero.action_assignments": (5, 3, 2, 5, 0),
        "hero.points_ledger": (20, 12, 8, 20, 0),
        "hero.tracking_events": (20, 12, 8, 20, 0),
    }
    assert sum(line["rows"] for line in disposal["lines"] if line["school"] == SOUTH) == 18
    assert {row["report"] for row in disposal["exports"]} == set(run.product.reports)
    assert {row["table_name"] for row in disposal["archives"]} >= {"hero.tracking_events", "hero.behavior_codes"}
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in disposal["exports"] + disposal["archives"])
    assert disposal["plan"]["approved_by"] == "dana"

    assert said["reset"]["rows"]["points"] == 5
    kept = {(row["step"], row["table"]): row for row in said["retained"]}
    for step in ("erase of plan 1", "reset"):
        proof = kept[step, "hero.student_logins"]
        assert proof["before"]["rows"] == 5 and proof["before"] == proof["after"] and int(proof["before"]["checksum"])
    assert said["verification"]["rows_left"] == 0 and said["verification"]["reports_blank"] is True
    again = said["verification"]["again_at_issue"]
    assert (again["rows_left"], again["evidence_whole"]) == (0, True)
    assert again["files_intact"] == len(disposal["exports"]) + len(disposal["archives"])
    assert len(again["past_their_time"]) > 8 and not any(again["past_their_time"].values())
    assert said["executed_by"]["airflow_run"] == RUN_ID and said["executed_by"]["version"]
    assert "logical deletion" in said["method"]["deletion"]
    assert said["backups"] == {
        "statement": "No claim is made about backups: nobody has said how long they are kept.",
        "days": None,
    }
    assert any("held in the archive" in text for text in said["not_claimed"])
    kept = {row["what"]: row for row in said["still_kept"]}
    assert kept["student accounts"]["number"] == 5 and kept["student accounts"]["until"] is None
    archived = kept["archived rows, with the codes, settings and names that are needed to read them"]
    assert archived["number"] == len(disposal["archives"]) and archived["where"].endswith("riverside-ca/2025-26")
    exported = kept["exported reports, and lists to check the new roster with"]
    issued = datetime.fromisoformat(said["issued_at"]["utc"])
    kept_days = run.product.exports_kept_days_of(run.config)
    assert exported["until"] == (issued + timedelta(days=kept_days)).date().isoformat()
    assert "/hero/outbox" in exported["where"] and exported["number"] > len(disposal["exports"])

    result = certify(run)
    with owner.connect() as connection:
        row = connection.execute(ledger.certificates.select()).mappings().one()
        head = connection.scalar(
            select(ledger.evidence.c.hash).where(
                ledger.evidence.c.kind == "resume_sync", ledger.evidence.c.tenant_id == HERO
            )
        )
    assert (row["sha256"], row["path"], row["pdf_sha256"]) == (result.sha256, result.path, result.pdf_sha256)
    assert row["evidence_head"] == said["evidence"]["head"] == head and row["signature"] == result.signature


def test_what_a_deployment_says_about_backups_is_reported_as_its_word(run: Run) -> None:
    run = Run(**{**vars(run), "backup_days": 35})
    until_resumed(run)
    said = certificate_of(run)["backups"]
    assert said["days"] == 35 and "declared, and not checked" in said["statement"]
    assert said["expired_by"]["utc"][:10] in said["statement"]


@pytest.mark.parametrize("product", ["hero", "imagine_math"])
def test_it_names_no_person(owner: Engine, engine: Engine, storage: UPath, product: str) -> None:
    """No value of a person's column is a word of the JSON or of the PDF's pages, before or after the new year.

    The signature is left out: as base64 it can hold any letter between two signs, and a person's value of one letter.
    """
    (hero_world if product == "hero" else imagine_world)(owner)
    run = run_of(engine, storage, product)
    personal = personal_values(owner, product)
    assert len(personal) > 15 and "Zebrowski" in personal
    until_resumed(run)
    signature = json.loads(files_of(run)[0].read_bytes())["signature"]["value"]
    content = json.dumps(certificate_of(run), ensure_ascii=False)
    pages, printed = re.subn(r"\s?".join(map(re.escape, signature)), "", pages_of(files_of(run)[1]))
    assert printed == 1
    for where in (content, pages):
        assert "Riverside" in where
        assert personal & words(where) == set()
        assert [value for value in personal if len(value) > 4 and value in where] == []


def personal_values(owner: Engine, product: str) -> set[str]:
    found: set[str] = set()
    with owner.connect() as connection:
        for table in metadata.tables.values():
            if table.schema in (product, "roster"):
                for column in table.columns:
                    if PERSONAL.search(column.name):
                        found |= {str(value) for value in connection.scalars(select(column)) if value}
    return found


def words(said: str) -> set[str]:
    return set(re.split(r"[\s\"',:;()/]+", said)) | set(re.split(r"\W+", said))


def pages_of(pdf: Path) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(pdf).pages).split())


def test_the_pages_say_what_the_json_says(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        named = directory.schools.update().where(directory.schools.c.school_id == NORTH)
        connection.execute(named.values(name="Kāneʻohe <b>&"))
    until_resumed(run)
    signed = checked(files_of(run)[0].read_bytes())
    pages = pages_of(files_of(run)[1])
    assert "Kāneʻohe <b>&" in pages and "45 rows" in pages and "18 without an archive, and 27 after" in pages
    for proof in (signed.key_id, signed.sha256, signed.certificate["evidence"]["head"], signed.signature):
        assert proof in pages
    for receipt in signed.certificate["disposals"][0]["exports"]:
        assert receipt["sha256"] in pages


def test_it_is_refused_with_all_that_is_not_verified(run: Run, owner: Engine) -> None:
    until_resumed(run)
    add_row(owner)
    (Path(run.storage.path) / "exports/hero/riverside-ca/2025-26/behavior_history.csv").write_text("other")
    with owner.begin() as connection:
        connection.execute(text("ALTER TABLE ledger.evidence DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE ledger.evidence SET facts = '{}' WHERE kind = 'plan'"))
    with pytest.raises(ProofFailed) as refused:
        certify(run)
    for said in (
        r"evidence \d+ is not what was recorded",
        r"plan of hero__riverside-ca__2025-26, plan 1, is not in the chain",
        r"hero.tracking_events has 1 rows of the year that came late",
        r"behavior_history.csv is not the file that was written",
    ):
        assert re.search(said, str(refused.value)), said
    assert not (Path(run.storage.path) / "certificates").exists()
    assert state_of(owner, run) == "running" and rows(owner, "ledger.certificates", HERO) == 0


def test_it_is_refused_with_all_steps_that_are_missing(run: Run) -> None:
    until_approved(run)
    with pytest.raises(Refused, match="needs archive, erase, verify_reset, reset, import_roster, verify_ro"):
        certify(run)


def test_what_the_working_role_could_still_write_does_not_get_into_it(run: Run, owner: Engine) -> None:
    """A line can be added, and an approval be rewritten by an owner; the chain has who approved which lines."""
    until_resumed(run)
    with pytest.raises(DatabaseFailed, match="InsufficientPrivilege"), tenant_session(run.engine, HERO) as connection:
        connection.execute(ledger.plans.update().values(approved_by="mallory"))
    with tenant_session(run.engine, HERO) as connection:
        line = dict(connection.execute(ledger.plan_lines.select().limit(1)).mappings().one())
    with tenant_session(run.engine, HERO) as connection:
        connection.execute(ledger.plan_lines.insert().values({**line, "school_id": "x", "action": "erase", "rows": 0}))
        with pytest.raises(ProofFailed, match="lines of plan 1 are not those that it was frozen and approved with"):
            issue.certify(connection, plans.in_force(connection, run), no_outbox)
        connection.rollback()
    with owner.begin() as connection:
        unguarded(connection, "plans")
        connection.execute(ledger.plans.update().where(ledger.plans.c.tenant_id == HERO).values(approved_by="mallory"))
    with pytest.raises(ProofFailed, match="was approved by mallory, which is not in the chain"):
        certify(run)


def test_counts_that_do_not_meet_refuse_it(run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = erasing.erase
    monkeypatch.setattr(
        erasing, "erase", lambda *given: real(*given).model_copy(update={"deleted": {"hero.points_ledger": 19}})
    )
    until_resumed(run)
    with pytest.raises(ProofFailed) as refused:
        certify(run)
    assert "plan 1 took 20 rows of hero.points_ledger, deleted were 19, left are 0" in str(refused.value)
    assert "hero.tracking_events, deleted were not counted" in str(refused.value)


def test_rows_that_came_late_before_the_verification_are_in_the_certificate(run: Run, owner: Engine) -> None:
    until_reset(run)
    add_row(owner)
    with pytest.raises(ProofFailed, match="still has 1 rows"):
        steps.verify_reset(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.verify_reset):
        step(run)
    resumed(run)
    said = certificate_of(run)
    deleted = [{row["table"]: row["deleted"] for row in disposal["tables"]} for disposal in said["disposals"]]
    assert [found["hero.tracking_events"] for found in deleted] == [20, 1]
    assert {row["remaining"] for disposal in said["disposals"] for row in disposal["tables"]} == {0}
    assert "46 rows" in pages_of(files_of(run)[1])


def test_rows_that_come_late_to_the_new_year_go_by_a_further_plan_and_one_certificate_has_both(
    owner: Engine, engine: Engine, storage: UPath
) -> None:
    imagine_world(owner)
    run = run_of(engine, storage, "imagine_math")
    until_resumed(run)
    with owner.begin() as connection:  # an account of the new year, and a result of the old one
        statement = "INSERT INTO imagine_math.student_accounts SELECT * FROM imagine_math.student_accounts"
        connection.execute(text(f"{statement.replace('*', COLUMNS)} WHERE tenant_id LIKE '%lakeside%' LIMIT 1"))
        connection.execute(text(LATE))
    with pytest.raises(ProofFailed, match=r"assessments has 1 rows of the year that came late.* trigger the DAG again"):
        certify(run)
    assert steps.guard(run, "again", nobody).is_current is False
    plan = steps.plan(run)
    assert plan.plan_no == 2 and plan.rows == {"erase": 1}
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.verify_reset):
        step(run)
    said = certificate_of(run)
    assert said["number"].endswith("/2")
    assert [sum(row["deleted"] for row in disposal["tables"]) for disposal in said["disposals"]] == [52, 1]
    assert rows(owner, "imagine_math.student_accounts", run.tenant.id) == 1
    assert rows(owner, "ledger.pauses", run.tenant.id) == 1 and state_of(owner, run) == "certified"


COLUMNS = "'imagine_math__riverside-ca', school_id, account_id, person_id, username, grade, band, created_at"
LATE = (
    "INSERT INTO imagine_math.assessments (tenant_id, school_year, school_id, assessment_id, account_id, name, score, "
    "taken_on) VALUES ('imagine_math__riverside-ca', '2025-26', 'north', 999, 'acc-n1', 'Late', 1, '2026-05-01')"
)


def test_no_rollover_begins_without_a_key_to_certify_it(run: Run, owner: Engine, tmp_path: Path) -> None:
    secret = serialization.BestAvailableEncryption(b"secret")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files = {
        "rsa": rsa.generate_private_key(65537, 2048).private_bytes(pem, pkcs8, serialization.NoEncryption()),
        "passphrase": Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, secret),
        "rubbish": b"rubbish",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Refused, match="holds no private Ed25519 key"):
            steps.guard(Run(**{**vars(run), "signing_key": tmp_path / name}), RUN_ID, nobody)
    with pytest.raises(Refused, match="cannot be read: No such file"):
        steps.guard(Run(**{**vars(run), "signing_key": tmp_path / "nowhere"}), RUN_ID, nobody)
    with pytest.raises(Refused, match=r"ROLLOVER_SIGNING_KEY is not set.*keygen"):
        steps.guard(Run(**{**vars(run), "signing_key": None}), RUN_ID, nobody)
    assert rows(owner, "ledger.rollovers", HERO) == 0 and rows(owner, "ledger.evidence", HERO) == 0
    assert steps.guard(run, RUN_ID, nobody).go is True


def test_the_district_finds_it_in_its_outbox_also_where_that_failed_at_first(run: Run, owner: Engine) -> None:
    until_resumed(run)
    delivered: dict[str, str] = {}

    def deliver(file: UPath, remote: str) -> None:
        if len(delivered) == 1 and not failed:
            failed.append(remote)
            raise ConnectionError
        delivered[remote] = hashlib.sha256(file.read_bytes()).hexdigest()

    failed: list[str] = []
    with pytest.raises(ConnectionError):
        steps.certify(run, NoOutbox(deliver))
    issued = steps.certify(run, NoOutbox(deliver))
    assert rows(owner, "ledger.certificates", HERO) == 1
    name = f"/riverside-ca/hero/outbox/2025-26/certificate_2025-26-{issued.sha256[:12]}"
    signed = hashlib.sha256(UPath(issued.path).read_bytes()).hexdigest()
    assert delivered == {f"{name}.json": signed, f"{name}.pdf": issued.pdf_sha256}


def test_it_says_until_when_people_marked_for_deletion_are_kept(run: Run, owner: Engine) -> None:
    until_resumed(run)
    left = datetime(2026, 8, 1, tzinfo=UTC)
    with owner.begin() as connection:
        details = {"schema_version": 1, "reported": {"folder": "/riverside-ca/hero/outbox/imports/x"}}
        imported = {"tenant_id": HERO, "import_id": "gone", "state": "applied", "changed_at": left, "details": details}
        connection.execute(insert(ledger.imports).values(**imported))
        person = update(roster.people).where(roster.people.c.tenant_id == HERO, roster.people.c.sourced_id == "s1")
        connection.execute(person.values(status="tobedeleted", import_id="gone"))
        history = {"tenant_id": HERO, "import_id": "gone", "table_name": "people", "before": {"sourced_id": "s1"}}
        connection.execute(insert(roster.history).values(**history))
    kept = {row["what"]: row for row in certificate_of(run)["still_kept"]}
    until = (left + timedelta(days=run.product.grace_days_of(run.config))).date().isoformat()
    for what in (
        "people and classes that left the roster, marked for deletion",
        "rows that the last roster imports replaced",
        "reports to the district about its roster files",
    ):
        (row,) = [row for name, row in kept.items() if name.startswith(what)]
        assert (row["number"], row["until"]) == (1, until)


def test_a_past_year_is_certified_and_not_done_again(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        add_hero(connection, HERO, YEAR.previous)
    past = run_of(run.engine, run.storage, year=YEAR.previous)
    until_erased(past)
    steps.verify_reset(past)
    first = certify(past)
    said = certificate_of(past)
    assert said["school_year"] == "2024-25" and said["scope"]["rows"] == "of this school year only"
    assert {row["step"] for row in said["retained"]} == {"erase of plan 1"}
    assert certify(past) == first and rows(owner, "ledger.certificates", HERO) == 1
    without_key = Run(**{**vars(past), "signing_key": None})
    assert steps.guard(without_key, "again", nobody).go is False, "what is certified needs no key any more"


@pytest.mark.slow
def test_killed_at_any_statement_it_is_issued_once_and_whole(run: Run, owner: Engine) -> None:
    until_resumed(run)
    statement = 1
    while killed_at(statement, certify, run):
        issued = rows(owner, "ledger.certificates", HERO)
        assert (state_of(owner, run), issued) in (("running", 0), ("certified", 1))  # killed while it was delivered
        statement += 1
    assert statement > 15, "nothing was killed"
    result = certify(run)
    for file in files_of(run):
        assert checked(file.read_bytes()).sha256 == result.sha256
    with owner.connect() as connection:
        assert connection.scalars(select(ledger.certificates.c.sha256)).all() == [result.sha256]
    with tenant_session(run.engine, HERO) as connection:
        facts = connection.scalars(select(ledger.evidence.c.facts).where(ledger.evidence.c.kind == "certify")).all()
    assert json.loads(json.dumps(facts)) == [result.as_json()]
    folder = Path(run.storage.path) / "certificates"
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part")], "a killed writer's part is left"
