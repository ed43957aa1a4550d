"""`rollover certificate verify --json`. What it refuses is tested in tests/certificate."""

from __future__ import annotations

from pathlib import Path

from rollover import cli
from rollover.certificate.check import checked
from rollover.cli.certificate import Certificate
from tests.certificate.test_check import files
from tests.cli.conftest import Shown

__all__ = ["files"]


def test_json(files: Path, shown: Shown, capsys) -> None:  # type: ignore[no-untyped-def]
    signed = checked((files / "certificate.json").read_bytes())
    for name in ("certificate.json", "certificate.pdf"):
        content = shown(Certificate, "certificate", "verify", str(files / name))
        assert (content["number"], content["sha256"]) == (signed.certificate["number"], signed.sha256)
        assert (content["entries"], content["head"], content["key"]) == (3, "f" * 64, signed.key_id)
        assert content["public_key"] is None
    issuer = str(files / "issuer.pem")
    content = shown(Certificate, "certificate", "verify", str(files / "certificate.json"), "--public-key", issuer)
    assert content["public_key"] == issuer
    other = ["--public-key", str(files / "other.pem"), "--json"]
    assert cli.main(["certificate", "verify", str(files / "certificate.json"), *other]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "is signed with the key" in said.err
