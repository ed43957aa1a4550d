"""The roster import: its record in the ledger, the queue that a tenant's imports wait in, and where its files lie."""

from rollover.roster.imports.details import ImportDetails
from rollover.roster.imports.model import Decision, Import, ImportState, advance, current, load

__all__ = ["Decision", "Import", "ImportDetails", "ImportState", "advance", "current", "load"]
