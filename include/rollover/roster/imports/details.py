"""Defines the results of an import's stages: one typed value, which the ledger keeps as JSON.

A stage writes its own parts and leaves the others alone; a stage that runs again replaces its parts completely. Parts
that no stage has written have their default. It has numbers and times (UTC), and names no person.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from rollover.errors import Refused

SCHEMA_VERSION = 1
"""The schema version of the JSON in the ledger. Increment it with every change that older or newer code would
misread."""

RowsByFile = dict[str, int]
"""``{"users.csv": 12}``"""
RowsByTable = dict[str, int]
"""``{"people": 12}``, by the name of the roster table."""
FindingsByCode = dict[str, int]
"""``{"bad_date": 5}``"""
Changes = dict[str, dict[str, int]]
"""By roster table, the rows by change: ``added, returned, changed, unchanged, removed``."""


class Part(BaseModel):
    """A part of an import's details. Immutable; a field that nobody declared is an error, without its value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class FetchedFile(Part):
    """One file of a set, as the district sent it."""

    bytes: int
    sha256: str


class Fetched(Part):
    """Written by fetch: what was copied from SFTP."""

    files: dict[str, FetchedFile] = {}
    """By file name, as the format spells it."""
    files_ignored: tuple[str, ...] = ()
    """The names of files that no format reads."""


class ReadAs(Part):
    """The settings for reading a set. The same files read with other settings are another set."""

    formats: tuple[str, ...] = ()
    """The names of the formats that were known, sorted."""
    column_map: dict[str, dict[str, str]] = {}
    """By file: the header that the district uses for a column."""
    status_means: dict[str, str] = {}
    """The meaning of values of the column ``status`` that the format does not define."""
    needs_username: bool = True
    """Whether a person without a username is an error."""


class Reading(Part):
    """Written by stage: the result of reading the files."""

    read_as: ReadAs | None = None
    files_read: tuple[str, ...] = ()
    """The files that have usable rows."""
    deltas: tuple[str, ...] = ()
    """The files that contain only changes."""
    not_said: tuple[tuple[str, ...], ...] = ()
    """The columns that the set lacks, because a column or file is missing: (table, column), or (table, column, role) if
    it is missing for people of one role only."""
    not_identified: RowsByFile = {}
    """Rows without a certain identity."""
    other_status: RowsByFile = {}
    """Rows whose status is neither active nor tobedeleted, and that nothing explains."""
    cut_off: tuple[str, ...] = ()
    """The files that end inside a row."""
    refused_for: tuple[str, ...] = ()
    """The codes for which the set is refused. It is validated all the same, so that the report is complete."""


class Problems(Part):
    """Findings of several stages, by code."""

    errors: FindingsByCode = {}
    warnings: FindingsByCode = {}


class Validation(Part):
    """Written by validate: the accepted rows, and the live rows that they were completed with."""

    before: Problems | None = None
    """The findings of fetch and stage, to which those of the last validation are added."""
    files_year: str | None = None
    """The school year in which the newest file of the drop was last changed."""
    school_year_begins: tuple[int, int] | None = None
    """Month and day on which the district's school years begin."""
    taken: RowsByFile | None = None
    """Rows that break no rule which rejects them; None for a set that was refused before they were counted."""
    repeated: RowsByFile = {}
    """Rows that are identical to another one; one of them is taken."""
    accepted: RowsByTable = {}
    kept_live: RowsByTable = {}
    """Live rows that stay because rows about them were rejected."""
    unnamed: RowsByFile = {}
    """Rejected rows of full files whose subject cannot be identified."""
    laid_over: int | None = None
    """The version of the live roster that the set was completed with. For another version it is validated again."""


class Applied(Part):
    """Written by apply, besides ``changes``."""

    same_as: str | None = None
    """For a set that was live already: the import that has its staged rows."""
    left_out: Changes = {}
    """Rows that differ and stay as they are, because a person allowed additions only: ``changed, removed``."""
    renamed: dict[str, int] = {}
    """By table of the database: rows in which a person's id was changed."""
    provisioned: dict[str, int] = {}
    """By statement, e.g. ``student_accounts_added``: rows of the product."""


class Undone(Part):
    """Written by undo: the rows that were put back."""

    roster: RowsByTable = {}
    product: dict[str, int] = {}
    """By statement, e.g. ``student_accounts_removed``."""


class Asked(Part):
    """Written with a question: which run asks a person, about which comparison, until when."""

    run: str
    digest: str
    until: str
    """ISO 8601."""


class Reported(Part):
    """Written with the report to the district."""

    folder: str
    """On the district's SFTP."""
    sha256: str | None = None
    """The hash of the delivered summary."""
    state: str | None = None
    """The state of the import that the summary describes."""
    removed_at: str | None = None
    """ISO 8601; None while the report is there."""


class ImportDetails(Part):
    """Everything that is known about one import, besides its state and its comparison with the live roster."""

    schema_version: int = SCHEMA_VERSION
    rows: RowsByFile = {}
    """Rows that stage read."""
    errors: FindingsByCode = {}
    """By code, of all stages so far. Every finding is counted, even if not all are kept."""
    warnings: FindingsByCode = {}
    fetched: Fetched = Fetched()
    reading: Reading = Reading()
    validation: Validation = Validation()
    unchanged: bool = False
    """Whether the files are those of the import that is live. Such a set is not staged."""
    changes: Changes = {}
    """Written by compare: what the set would change; then by apply: what it changed."""
    asked: Asked | None = None
    """The open question, if there is one."""
    applied: Applied = Applied()
    undone: Undone | None = None
    history_is_gone: bool = False
    """Whether the history that undo needs was removed."""
    reported: Reported | None = None

    @property
    def has_changed_the_roster(self) -> bool:
        """Whether applying the set changed the live roster."""
        tables = self.changes.values()
        return bool(self.applied.renamed) or any(
            rows for each in tables for change, rows in each.items() if change != "unchanged"
        )

    def as_json(self) -> dict[str, Any]:
        """The written parts as JSON for the ledger; a patch has only the parts that it replaces."""
        return {**self.model_dump(mode="json", exclude_unset=True), "schema_version": SCHEMA_VERSION}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        """Read the ledger's JSON, which is empty if nothing was written yet. Raises Refused for another schema
        version."""
        if said and said.get("schema_version") != SCHEMA_VERSION:
            raise Refused(
                f"The details of an import have the schema version {said.get('schema_version')}; this release reads "
                f"{SCHEMA_VERSION}.",
                "run the release of Rollover that wrote them, or migrate the database to this one.",
            )
        return cls.model_validate(said)
