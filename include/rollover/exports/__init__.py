"""Makes the reports that a district receives before anything is erased. Each report has one definition."""

from rollover.exports import hero, imagine
from rollover.exports.report import Report, Scope

__all__ = ["REPORTS", "Report", "Scope", "reports_of"]

REPORTS: tuple[Report, ...] = (*hero.REPORTS, *imagine.REPORTS)


def reports_of(product: str) -> dict[str, Report]:
    """Return the reports of a product by name."""
    return {report.name: report for report in REPORTS if report.product == product}
