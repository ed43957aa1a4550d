"""What each report is: its product, file and query. A query takes ``school_year`` and ``is_current``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class Report:
    """A report of one product.

    Its query stands in ``sql/<source>.sql``. There ``PRODUCT`` is the product's schema, and a line that ends with
    ``-- only <product>`` is there for that product alone: the Imagine products share a report.
    """

    product: str
    name: str
    title: str
    format: Literal["csv", "xlsx"]
    source: str

    @cached_property
    def query(self) -> str:
        lines = (SQL / f"{self.source}.sql").read_text(encoding="utf-8").splitlines()
        ours = [line for line in lines if "-- only " not in line or line.endswith(f"-- only {self.product}")]
        return "\n".join(ours).replace("PRODUCT.", f"{self.product}.")


REPORTS = (
    Report("hero", "behavior_history", "Behavior History", "csv", "hero_behavior_history"),
    Report("hero", "schoolwide_points", "Schoolwide Points", "csv", "hero_schoolwide_points"),
    Report("imagine_math", "student_data_export", "Student Data Export", "xlsx", "imagine_student_data_export"),
    Report("imagine_math_facts", "student_data_export", "Student Data Export", "xlsx", "imagine_student_data_export"),
)


def reports_of(product: str) -> dict[str, Report]:
    """The reports of a product by name."""
    return {report.name: report for report in REPORTS if report.product == product}
