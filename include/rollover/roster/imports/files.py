"""Builds the paths of an import's files in storage."""

from __future__ import annotations

from upath import UPath

TYPED = "typed"
"""The folder of a set's typed rows."""


def import_folder(storage: UPath, import_id: str) -> UPath:
    """The folder of all files of one set in work."""
    return storage / "imports" / import_id


def fetched_folder(storage: UPath, import_id: str) -> UPath:
    """The files of a set as the district sent them (passwords blanked)."""
    return import_folder(storage, import_id) / "files"


def fetched_file(storage: UPath, import_id: str, name: str) -> UPath:
    return fetched_folder(storage, import_id) / name


def staged_file(storage: UPath, import_id: str, table: str) -> UPath:
    """The typed rows of a set for one roster table, as Parquet."""
    return import_folder(storage, import_id) / "staged" / f"{table}.parquet"


def typed_file(storage: UPath, import_id: str, stem: str) -> UPath:
    """The typed rows of one file of a set, errors marked, as Parquet."""
    return import_folder(storage, import_id) / TYPED / f"{stem}.parquet"


def diff_file(storage: UPath, import_id: str, table: str) -> UPath:
    """The keys of the rows of one roster table that a set would change, as Parquet."""
    return import_folder(storage, import_id) / "diff" / f"{table}.parquet"
