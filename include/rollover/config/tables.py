"""Hold a product file against the tables: every data class exactly one rule, every table a data class."""

from __future__ import annotations

from rollover.config.document import Document
from rollover.config.models import Action, Product
from rollover.config.problems import Problem, nearest
from rollover.database.tables import product_tables, roster
from rollover.database.tables.base import is_activity
from rollover.database.tables.columns import column_problems
from rollover.exports import reports_of

FIELD = "data_classes"


def table_problems(product: Product, document: Document) -> list[Problem]:
    """Where a product file and the tables or reports disagree."""
    tables = [*product_tables(product.product), *roster.ROSTER_TABLES]
    in_tables = {str(table.info.get("data_class")) for table in tables if table.info.get("data_class")}
    found = [
        document.problem((FIELD,), f"table {table.fullname} names no data class")
        for table in tables
        if not table.info.get("data_class")
    ]
    for missing in sorted(in_tables - product.data_classes.keys()):
        found.append(document.problem((FIELD,), f"has no rule for '{missing}'"))
    for extra in sorted(product.data_classes.keys() - in_tables):
        found.append(document.problem((FIELD, extra), "is a data class of no table", nearest(extra, in_tables)))
    found += [document.problem((FIELD,), said) for table in tables for said in column_problems(table)]
    for table in tables:
        name = str(table.info.get("data_class"))
        rule = product.data_classes.get(name)
        if rule is None:
            continue
        if rule.action is Action.ARCHIVE_OR_ERASE and not is_activity(table):
            message = f"{table.fullname} has no school year, so a year of it cannot be archived"
            found.append(document.problem((FIELD, name, "action"), message))
        if rule.action is Action.RESET and is_activity(table):
            message = f"{table.fullname} belongs to a school year: archive or erase it"
            found.append(document.problem((FIELD, name, "action"), message))
        if rule.set:
            for column in sorted(rule.set.keys() - set(table.c.keys())):
                message = f"{table.fullname} has no column '{column}'"
                found.append(document.problem((FIELD, name, "set", column), message, nearest(column, table.c.keys())))
    known = reports_of(product.product)
    for n, report in enumerate(product.reports):
        if report not in known:
            message = f"'{report}' is not a report of {product.product}"
            found.append(document.problem(("reports", str(n)), message, nearest(report, known)))
    return found
