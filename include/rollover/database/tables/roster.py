"""Declares the live roster of each tenant, as in the district's files. All formats are converted to it.

A row that is missing from a later full set becomes ``tobedeleted``; it is never dropped at once.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Identity,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from rollover.database.tables.base import metadata, tenant_column, text


def _roster_table(name: str, *columns: Column[Any], key: tuple[str, ...] = ("sourced_id",)) -> Table:
    return Table(
        name,
        metadata,
        tenant_column(),
        *[Column(k, Text, nullable=False) for k in key],
        *columns,
        Column("status", Text, nullable=False),
        Column("row_hash", BigInteger, nullable=False, comment="of the file's values: tells what changed"),
        Column("import_id", Text, nullable=False, comment="the import that last changed the row"),
        PrimaryKeyConstraint("tenant_id", *key),
        CheckConstraint("status IN ('active', 'tobedeleted')", name="status"),
        schema="roster",
        info={"data_class": "roster"},
        postgresql_partition_by="LIST (tenant_id)",
    )


def _texts(name: str) -> Column[Any]:
    return Column(name, ARRAY(Text), nullable=False)


orgs = _roster_table("orgs", text("name"), text("type"), text("identifier", null=True), text("parent_id", null=True))

academic_sessions = _roster_table(
    "academic_sessions",
    text("title"),
    text("type"),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False, comment="exclusive, as OneRoster has it"),
    text("parent_id", null=True),
    text("school_year"),
)

courses = _roster_table(
    "courses",
    text("title"),
    text("course_code", null=True),
    _texts("grades"),
    text("org_id"),
    text("school_year_session_id", null=True),
)

classes = _roster_table(
    "classes",
    text("title"),
    text("class_code", null=True),
    text("class_type"),
    text("course_id"),
    text("school_id"),
    _texts("term_ids"),
    _texts("grades"),
    _texts("periods"),
    text("location", null=True),
)

people = _roster_table(
    "people",
    text("role"),
    text("given_name"),
    text("middle_name", null=True),
    text("family_name"),
    text("username"),
    text("email", null=True),
    text("identifier", null=True),
    Column("birth_date", Date),
    text("grade", null=True),
    _texts("school_ids"),
    Column("enabled", Boolean, nullable=False),
    Column(
        "last_year_grade",
        Text,
        comment="the grade before the new year's import; set by it, for verify_roster",
    ),
)

guardians = _roster_table("guardians", key=("student_id", "guardian_id"))

enrollments = _roster_table(
    "enrollments",
    text("class_id"),
    text("school_id"),
    text("person_id"),
    text("role"),
    Column("primary", Boolean),
    Column("begin_date", Date),
    Column("end_date", Date),
)
# What the last import found, so that it can be undone: it goes when the next one is applied.
history = Table(
    "history",
    metadata,
    tenant_column(),
    Column("change_no", BigInteger, Identity(), nullable=False),
    text("import_id"),
    text("table_name"),
    Column("before", JSONB, nullable=False, comment="the row, or its key and the columns that the import changed"),
    PrimaryKeyConstraint("tenant_id", "change_no"),
    schema="roster",
    info={"data_class": "roster"},
)

# In the order in which references point: a table refers only to the ones before it.
ROSTER_TABLES = (orgs, academic_sessions, courses, classes, people, guardians, enrollments)


def rows_of(table: Table) -> tuple[str, str]:
    """The schema and name of the partition that holds the rows of a roster table, for COPY."""
    return str(table.schema), f"{table.name}__rows"
