"""Keeps roster imports: their records in the ledger, a tenant's queue of them, and the paths of their files."""

from rollover.roster.imports.details import ImportDetails
from rollover.roster.imports.model import Decision, Import, ImportState, advance, current, load

__all__ = ["Decision", "Import", "ImportDetails", "ImportState", "advance", "current", "load"]
