"""The reports that a district gets before anything goes. One definition per report serves everyone who makes it."""

from rollover.exports.definitions import REPORTS, Report, reports_of

__all__ = ["REPORTS", "Report", "reports_of"]
