"""Storage in S3, used by several processes: what one wrote or removed, the others see at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rollover.settings import Settings
from rollover.storage import read_back, remove_parts, storage_path, whole_file
from tests.cluster.servers import S3

OTHER = "import sys; from upath import UPath; {}"


def elsewhere(statement: str) -> None:
    """Run a statement in another process, with `path` as what it is about."""
    subprocess.run([sys.executable, "-c", OTHER.format(statement)], check=True)


def test_what_another_process_did_is_seen_at_once(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLOVER_STORAGE", f"{s3.url}/seen")
    root = Settings().storage_root
    old, new = root / "year" / "old.csv", root / "year" / "new.csv"
    with whole_file(old) as stream:
        stream.write(b"1")
    assert old.exists() and not new.exists() and [path.name for path in old.parent.iterdir()] == ["old.csv"]
    elsewhere(f"UPath('{new}').write_bytes(b'22'); UPath('{old}').unlink()")
    assert new.exists() and new.is_file() and not old.exists()
    assert [path.name for path in old.parent.iterdir()] == ["new.csv"]
    assert [path.name for path in root.glob("*/*.csv")] == ["new.csv"]
    named = storage_path(str(new))
    assert named.exists() and read_back(named)[1] == 2
    elsewhere(f"UPath('{new}').write_bytes(b'333')")
    assert read_back(named)[1] == 3


def test_a_writer_that_fails_leaves_nothing_and_one_that_was_killed_is_cleaned_up_after(s3: S3) -> None:
    root = storage_path(f"{s3.url}/parts")
    with pytest.raises(ValueError, match="no"), whole_file(root / "a" / "file.csv") as stream:
        stream.write(b"1" * 100)
        raise ValueError("no")
    assert list(root.rglob("*.csv")) == [] and list(root.rglob("*.part")) == []
    (root / "a" / ".file.csv.0123abcd.part").write_bytes(b"1")
    remove_parts(root)
    assert list(root.rglob("*.part")) == []


def test_a_file_that_is_written_again_is_replaced(s3: S3) -> None:
    path = storage_path(f"{s3.url}/again/é name.csv")
    for content in (b"first", b"second"):
        with whole_file(path) as stream:
            stream.write(content)
    assert path.read_bytes() == b"second"
    assert [found.name for found in path.parent.iterdir()] == [path.name]
