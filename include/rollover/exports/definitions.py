"""What each report is: its product, file and query. A query takes ``school_year`` and ``is_current``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class Report:
    """A report of one product; its query stands in ``sql/<product>_<name>.sql``."""

    product: str
    name: str
    title: str
    format: Literal["csv", "xlsx"]

    @cached_property
    def query(self) -> str:
        return (SQL / f"{self.product}_{self.name}.sql").read_text(encoding="utf-8").strip().rstrip(";")


REPORTS = (
    Report("hero", "behavior_history", "Behavior History", "csv"),
    Report("hero", "schoolwide_points", "Schoolwide Points", "csv"),
    Report("imagine_math", "student_data_export", "Student Data Export", "xlsx"),
    Report("imagine_math_facts", "student_data_export", "Student Data Export", "xlsx"),
)


def reports_of(product: str) -> dict[str, Report]:
    """The reports of a product by name."""
    return {report.name: report for report in REPORTS if report.product == product}
