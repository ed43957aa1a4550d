"""`rollover certificate`: verify (what it refuses is tested in tests/certificate), list and show."""

from __future__ import annotations

from pathlib import Path

import pytest
from upath import UPath

from rollover import cli
from rollover.certificate.check import checked
from rollover.cli.certificate import Certificate, Certificates, CertificateShown
from rollover.run import Run
from tests.certificate.test_check import files
from tests.cli.conftest import Shown
from tests.support.certified import until_resumed
from tests.support.small_district import NORTH
from tests.yearend.test_rollover_steps import certify

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


def test_list_and_show(run: Run, shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(Certificates, "certificate", "list") == {"certificates": []}
    assert cli.main(["certificate", "show", run.tenant.id, "2025-26"]) == 1
    assert "hero__riverside-ca has no certificate of 2025-26" in capsys.readouterr().err
    until_resumed(run)
    issued = certify(run)
    (row,) = shown(Certificates, "certificate", "list", "riverside-ca", "--year", "2025-26")["certificates"]
    assert (row["tenant"], row["school_year"], row["sha256"]) == (run.tenant.id, "2025-26", issued.sha256)
    assert row["path"] == issued.path
    assert shown(Certificates, "certificate", "list", "--year", "2024-25") == {"certificates": []}

    content = shown(CertificateShown, "certificate", "show", run.tenant.id, "2025-26")
    assert (content["about"]["sha256"], content["path"], content["pdf"]) == (issued.sha256, issued.path, issued.pdf)
    tables = content["tables"]
    assert sum(table["erased"] for table in tables) == 18 and sum(table["archived"] for table in tables) == 27
    assert all(table["before"] == table["archived"] + table["erased"] and table["remaining"] == 0 for table in tables)
    assert content["held_rows"] == 0 and all(each["what"] and each["where"] for each in content["still_kept"])
    assert cli.main(["certificate", "show", run.tenant.id, "2025-26"]) == 0
    said = capsys.readouterr().out
    assert "hero.tracking_events: " in said and ", 0 left" in said and f"{NORTH}-1" not in said
    assert "the file is the one that the ledger names" in said


def test_a_file_that_is_gone_or_another_is_refused(run: Run, capsys: pytest.CaptureFixture[str], files: Path) -> None:
    until_resumed(run)
    path = UPath(certify(run).path)
    path.write_bytes((files / "certificate.json").read_bytes())
    assert cli.main(["certificate", "show", run.tenant.id, "2025-26"]) == 1
    assert "is not the certificate that the ledger names" in capsys.readouterr().err
    path.unlink()
    assert cli.main(["certificate", "show", run.tenant.id, "2025-26"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "is missing" in said.err
