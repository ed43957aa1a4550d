"""A certificate is checked anywhere: by us offline, and by others with what docs/certificate.md says."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rollover import cli
from rollover.certificate import signing
from rollover.certificate.check import checked
from rollover.certificate.pdf import drawn
from rollover.errors import ProofFailed, Refused
from rollover.settings import HOME

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SMALL: dict[str, Any] = {
    "schema": signing.SCHEMA,
    "name": 'Kāneʻohe "North" \n \\ é',
    "rows": 12,
    "none": None,
    "yes": True,
    "of": [{}],
}


def at(instant: str) -> dict[str, str]:
    return {"utc": f"2026-07-20T{instant}+00:00", "local": f"2026-07-20T{instant}-07:00"}


def certificate(**more: Any) -> dict[str, Any]:
    """A whole certificate, made by hand: as small as the PDF takes it."""
    marks = {"rows": 2, "checksum": "-17"}
    return {
        "schema": signing.SCHEMA,
        "number": "hero__riverside-ca__2025-26/1",
        "tenant": "hero__riverside-ca",
        "issued_at": at("10:00:00"),
        "district": {"id": "riverside-ca", "name": "Riverside", "time_zone": "America/Los_Angeles"},
        "product": {"id": "hero", "name": "Hero"},
        "school_year": "2025-26",
        "authority": {"agreement": None, "reset_date": "2026-07-20", "reset_date_is": "the product's default"},
        "scope": {"rows": "of this school year", "date_range": {"from": "a", "to": "b"}, "schools": []},
        "disposals": [
            {
                "plan": {"number": 1, "sha256": "0" * 64, "approved_by": None, "approved_at": None},
                "deleted_at": at("08:00:00"),
                "tables": [
                    {
                        **{"table": "hero.tracking_events", "data_class": "tracking_data", "before": 8, "archived": 0},
                        **{"erased": 8, "deleted": 8, "remaining": 0},
                    }
                ],
                "lines": [{"school": "south", "action": "erase", "data_class": "tracking_data", "rows": 8}],
                "held": [],
                "exports": [],
                "archives": [],
            }
        ],
        "reset": {"rows": {}},
        "retained": [
            {"data_class": "logins", "table": "hero.logins", "step": "reset", "before": marks, "after": marks}
        ],
        "still_kept": [],
        "verification": {
            **{"by": "a second step", "at": at("09:00:00"), "rows_left": 0, "reports_blank": True, "files_intact": 0},
            "again_at_issue": {"rows_left": 0, "files_intact": 0, "past_their_time": {"exports": 0}},
        },
        "method": {"deletion": "Logical.", "comparison": "By checksum."},
        "not_claimed": ["Anything else."],
        "backups": {"statement": "No claim.", "days": None},
        "executed_by": {"tool": "Rollover", "version": "0", "database": "PostgreSQL", "airflow_run": "r"},
        "evidence": {"algorithm": "SHA-256", "entries": 3, "head": "f" * 64},
        **more,
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a certificate in both forms, and its issuer's public key."""
    content = signing.sign(certificate(), KEY)
    (tmp_path / "certificate.json").write_bytes(content)
    (tmp_path / "certificate.pdf").write_bytes(drawn(content, KEY))
    (tmp_path / "issuer.pem").write_text(signing.public_pem(KEY.public_key()))
    (tmp_path / "other.pem").write_text(signing.public_pem(OTHER_KEY.public_key()))
    return tmp_path


def verify(*arguments: object) -> int:
    return cli.main(["certificate", "verify", *map(str, arguments)])


def test_any_byte_of_the_json_that_is_changed_is_reported() -> None:
    content = signing.sign(SMALL, KEY)
    assert checked(content).certificate == SMALL
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ProofFailed):
            checked(bytes(changed))
    for changed in (content[:-1], content + b"\n", content + b" ", b"\xef\xbb\xbf" + content, b"", b"[]", b"1" * 9000):
        with pytest.raises(ProofFailed):
            checked(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: json.dumps(e).encode(),  # printed otherwise
        lambda e: json.dumps({**e, "more": 1}, sort_keys=True, indent=2, ensure_ascii=False).encode() + b"\n",
        lambda e: printed(e, algorithm="none"),
        lambda e: printed(e, key_id="0" * 64),
        lambda e: printed(e, public_key=e["signature"]["public_key"] + "\n"),
        lambda e: printed(e, public_key=signing.public_pem(OTHER_KEY.public_key())),
        lambda e: printed(e, value=base64.b64encode(bytes(64)).decode()),
        lambda e: printed(e, value=""),
        lambda e: printed(e, more="1"),
    ],
)
def test_an_envelope_of_another_form_is_reported(change: Callable[[Any], bytes]) -> None:
    with pytest.raises(ProofFailed):
        checked(change(json.loads(signing.sign(SMALL, KEY))))


def printed(envelope: dict[str, Any], **signature: str) -> bytes:
    changed = {**envelope, "signature": {**envelope["signature"], **signature}}
    return json.dumps(changed, sort_keys=True, indent=2, ensure_ascii=False).encode() + b"\n"


def test_what_is_signed_but_of_another_schema_is_reported() -> None:
    with pytest.raises(ProofFailed, match="signed, but no rollover-certificate"):
        checked(signing.sign({**SMALL, "schema": "other/1"}, KEY))


def test_a_number_that_has_several_forms_is_not_signed() -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        signing.sign({"share": [{"x": 0.1}]}, KEY)


def test_bytes_of_the_pdf_that_are_changed_are_reported(files: Path) -> None:
    content = (files / "certificate.pdf").read_bytes()
    assert checked(content).sha256 == checked((files / "certificate.json").read_bytes()).sha256
    step = len(content) // 40
    for place in [*range(7, len(content), step), *range(len(content) - 110, len(content), 7)]:
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ProofFailed):
            checked(bytes(changed))
    last_line = content.rstrip(b"\n").rindex(b"\n") + 1
    for changed_ends in (content[:-1], content + b"\n", content[:last_line], content[:last_line] * 2, content * 2):
        with pytest.raises(ProofFailed):
            checked(changed_ends)


def test_other_pages_around_a_true_certificate_are_reported(files: Path) -> None:
    """Somebody draws a PDF of their own, and attaches to it what we signed."""
    true = (files / "certificate.json").read_bytes()
    with pytest.raises(ProofFailed, match="PDF was changed"):
        checked(drawn(true, OTHER_KEY))


def test_the_same_certificate_is_drawn_the_same_twice() -> None:
    content = signing.sign(certificate(), KEY)
    assert drawn(content, KEY) == drawn(content, KEY)


@pytest.mark.parametrize("name", ["certificate.json", "certificate.pdf"])
def test_the_command_tells_whose_key_it_is(files: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(files / name) == 0
    said = capsys.readouterr().out
    assert "fits the key in the file" in said and "Whose key that is, the file cannot prove" in said
    assert f"head {'f' * 64}" in said
    assert verify(files / name, "--public-key", files / "issuer.pem") == 0
    assert "signature is that of" in capsys.readouterr().out
    assert verify(files / name, "--public-key", files / "other.pem") == 1
    assert "signed with the key" in capsys.readouterr().err
    assert verify(files / "nowhere") == 2
    assert verify(files / name, "--public-key", files / name) == 1
    assert "no public Ed25519 key" in capsys.readouterr().err


OFFLINE = """
import socket, sys
class Refuse:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("airflow", "psycopg", "psycopg2"):
            raise ImportError(name + " is not for this")
sys.meta_path.insert(0, Refuse())
def refuse(*_, **__):
    raise SystemExit("it asked for the network")
class NoSocket(socket.socket):
    __init__ = refuse
socket.socket, socket.create_connection, socket.getaddrinfo = NoSocket, refuse, refuse
from rollover.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["certificate.json", "certificate.pdf"])
def test_it_is_checked_without_database_network_or_airflow(files: Path, name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ROLLOVER_", "AIRFLOW"))}

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", OFFLINE, "certificate", "verify", str(files / name)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=files, check=False)

    done = run()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "nothing was changed" in done.stdout
    content = bytearray((files / name).read_bytes())
    content[len(content) // 2] ^= 1
    (files / name).write_bytes(content)
    assert run().returncode == 1


def recipes(language: str) -> list[str]:
    """The blocks of code in the document that says how to check without us."""
    return re.findall(rf"```{language}\n(.*?)```", (HOME / "docs" / "certificate.md").read_text(), re.DOTALL)


def with_tools(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not all(map(shutil.which, names)), reason=f"needs {', '.join(names)}")


@pytest.mark.parametrize(
    ("command", "number", "name"),
    [
        pytest.param(["sh", "-ec"], 0, "certificate.json", marks=with_tools("jq", "openssl")),
        pytest.param(["sh", "-ec"], 1, "certificate.pdf", marks=with_tools("openssl")),
        pytest.param([sys.executable, "-c"], 0, "certificate.json"),
    ],
)
def test_others_can_check_it_as_the_document_says(files: Path, command: list[str], number: int, name: str) -> None:
    recipe = recipes("sh" if command[0] == "sh" else "python")[number]

    def run() -> int:
        return subprocess.run([*command, recipe], cwd=files, capture_output=True, check=False).returncode

    assert run() == 0
    shutil.copy(files / "issuer.pem", files / "kept.pem")
    shutil.copy(files / "other.pem", files / "issuer.pem")
    assert run() != 0, "another key"
    shutil.copy(files / "kept.pem", files / "issuer.pem")
    content = (files / name).read_bytes()
    (files / name).write_bytes(content.replace(b"2025-26", b"2025-27", 1) if name.endswith("json") else content[1:])
    assert run() != 0, "another content"


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key.pem"
    assert cli.main(["certificate", "keygen", str(path)]) == 0
    said, key = capsys.readouterr().out, signing.read_key(path)
    assert signing.public_pem(key.public_key()) in said and signing.key_id(key.public_key()) in said
    assert "PRIVATE" not in said and stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert cli.main(["certificate", "keygen", str(path)]) == 1
    assert "never overwritten" in capsys.readouterr().err and path.read_bytes() == before
    with pytest.raises(Refused, match="cannot be written"):
        signing.new_key(tmp_path / "no folder" / "key.pem")
