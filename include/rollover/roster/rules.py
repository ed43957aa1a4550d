"""Rules that only a whole set can break: duplicates, references, and rows that contradict each other."""

from __future__ import annotations

from functools import cache

import polars as pl
from upath import UPath

from rollover.roster import model
from rollover.roster.findings import Findings
from rollover.roster.model import File, Kind
from rollover.roster.read import ROW
from rollover.roster.stage import AGENTS
from rollover.roster.staged import ROW_HASH, read_staged

KEY = "sourced_id"
TABLE_FILES = tuple(file for file in model.FILES if file is not model.DEMOGRAPHICS)


class StagedSet:
    """A staged set, of which each rule reads the columns that it needs."""

    def __init__(self, storage: UPath, import_id: str) -> None:
        self._storage = storage
        self._import_id = import_id
        self.keys = cache(self._keys)

    def table(self, name: str, columns: list[str]) -> pl.DataFrame:
        return read_staged(self._storage, self._import_id, name, columns)

    def _keys(self, table: str) -> pl.Series:
        """The sourcedIds of a table, each once."""
        return self.table(table, [KEY])[KEY].drop_nulls().unique()

    def school_year(self) -> str | None:
        """The year that the set is of: that of its session of type schoolYear, else of most sessions.

        Of several such years it is the one with the most sessions, then the latest; None where no session
        has a readable year.
        """
        years = (
            self.table("academic_sessions", ["type", "school_year"])
            .drop_nulls("school_year")
            .group_by("school_year")
            .agg(named=(pl.col("type") == "schoolYear").any(), sessions=pl.len())
            .sort("named", "sessions", "school_year", descending=True)
        )
        return None if years.is_empty() else str(years["school_year"][0])


def check_rows(staged: StagedSet, findings: Findings) -> None:
    """Find every row that breaks a rule of the set.

    A reference that the format requires must resolve, and a sourcedId stand for one thing: errors. What
    contradicts another row without harm is a warning.
    """
    for file in TABLE_FILES:
        _check_duplicates(staged, file, findings)
        _check_references(staged, file, findings)
    _check_agents(staged, findings)
    _check_sessions(staged, findings)
    _check_courses(staged, findings)
    _check_enrollments(staged, findings)


def _check_duplicates(staged: StagedSet, file: File, findings: Findings) -> None:
    rows = staged.table(file.table, [ROW, KEY, ROW_HASH]).drop_nulls(KEY)
    if rows[KEY].n_unique() == rows.height:
        return
    same = pl.col(ROW_HASH) == pl.col(ROW_HASH).first().over(KEY)
    again = rows.with_columns(same=same).filter(~pl.col(KEY).is_first_distinct())
    message = "The sourcedId stands for another row already. Give each its own."
    differing = again.filter(~pl.col("same"))[ROW].to_list()
    findings.add("duplicate", "error", file.name, message, column="sourcedId", rows=differing)
    message = "The row is there already, word for word; it is taken once."
    repeated = again.filter("same")[ROW].to_list()
    findings.add("repeated", "warning", file.name, message, column="sourcedId", rows=repeated)


def _check_references(staged: StagedSet, file: File, findings: Findings) -> None:
    for column in file.columns:
        if column.refers_to is None or column.target == "agent_ids":
            continue
        keys = staged.keys(column.refers_to)
        rows = staged.table(file.table, [ROW, column.target])
        if column.kind is Kind.REFERENCES:
            rows = rows.explode(column.target)
        dangling = rows.drop_nulls(column.target).filter(~pl.col(column.target).is_in(keys.implode()))
        where = next(f.name for f in TABLE_FILES if f.table == column.refers_to)
        message = f"{column.name} refers to a row that is not in {where}. Send that row too, or mend the reference."
        findings.add(
            "reference" if column.required else "optional_reference",
            "error" if column.required else "warning",
            file.name,
            message,
            column=column.name,
            rows=dangling[ROW].unique(maintain_order=True).to_list(),
        )


def _check_agents(staged: StagedSet, findings: Findings) -> None:
    """agentSourcedIds that make no guardian: the other person is missing, or not one of both is a student."""
    student = staged.table("people", [KEY, "role"]).unique(KEY).select(KEY, student=pl.col("role") == "student")
    named = (
        staged.table(AGENTS, [ROW, "person_id", "agent_id"])
        .join(student.rename({KEY: "person_id", "student": "person"}), on="person_id", how="left")
        .join(student.rename({KEY: "agent_id", "student": "agent"}), on="agent_id", how="left", maintain_order="left")
    )
    message = "agentSourcedIds refers to a person who is not in users.csv; the link is left out."
    rows = named.filter(pl.col("agent").is_null())[ROW].unique(maintain_order=True).to_list()
    findings.add("agent_missing", "warning", model.USERS.name, message, column="agentSourcedIds", rows=rows)
    message = "agentSourcedIds does not link a student and a guardian; the link is left out."
    rows = named.filter(pl.col("person") == pl.col("agent"))[ROW].unique(maintain_order=True).to_list()
    findings.add("agent_role", "warning", model.USERS.name, message, column="agentSourcedIds", rows=rows)


def _check_sessions(staged: StagedSet, findings: Findings) -> None:
    sessions = staged.table("academic_sessions", [ROW, "start_date", "end_date"])
    rows = sessions.filter(pl.col("end_date") <= pl.col("start_date"))[ROW].to_list()
    message = "endDate is not after startDate. It is the first day that no longer belongs to the session."
    findings.add("session_dates", "error", model.SESSIONS.name, message, column="endDate", rows=rows)


def _check_courses(staged: StagedSet, findings: Findings) -> None:
    sessions = staged.table("academic_sessions", [KEY, "type"]).unique(KEY)
    courses = staged.table("courses", [ROW, "school_year_session_id"]).join(
        sessions, left_on="school_year_session_id", right_on=KEY, maintain_order="left"
    )
    message = "schoolYearSourcedId refers to a session that is not of type schoolYear."
    rows = courses.filter(pl.col("type") != "schoolYear")[ROW].to_list()
    findings.add("course_year", "warning", model.COURSES.name, message, column="schoolYearSourcedId", rows=rows)


def _check_enrollments(staged: StagedSet, findings: Findings) -> None:
    """Enrollments against the people and classes that they name."""
    columns = [ROW, "class_id", "school_id", "person_id", "role", "begin_date", "end_date"]
    people = staged.table("people", [KEY, "role"]).unique(KEY).rename({"role": "person_role"})
    rows = (
        staged.table("enrollments", columns)
        .join(people, left_on="person_id", right_on=KEY, how="left", maintain_order="left")
        .join(_class_terms(staged), on="class_id", how="left", maintain_order="left")
    )
    student = pl.col("role") == "student"
    outside = (pl.col("begin_date") < pl.col("term_start")) | (pl.col("end_date") > pl.col("term_end"))
    for code, column, broken, message in (
        (
            "enrollment_role",
            "role",
            student != (pl.col("person_role") == "student"),
            "role does not agree with the person's role in users.csv.",
        ),
        (
            "enrollment_school",
            "schoolSourcedId",
            pl.col("school_id") != pl.col("class_school_id"),
            "schoolSourcedId is not the school of the class.",
        ),
        (
            "enrollment_dates",
            "endDate",
            pl.col("end_date") < pl.col("begin_date"),
            "endDate is before beginDate.",
        ),
        ("enrollment_term", "beginDate", outside, "The enrollment is not within the terms of its class."),
    ):
        findings.add(
            code, "warning", model.ENROLLMENTS.name, message, column=column, rows=rows.filter(broken)[ROW].to_list()
        )


def _class_terms(staged: StagedSet) -> pl.DataFrame:
    """Each class with its school, and the first and last day of its terms taken together."""
    sessions = staged.table("academic_sessions", [KEY, "start_date", "end_date"]).unique(KEY)
    classes = staged.table("classes", [KEY, "school_id", "term_ids"]).drop_nulls(KEY).unique(KEY)
    return (
        classes.explode("term_ids")
        .join(sessions, left_on="term_ids", right_on=KEY, how="left")
        .group_by(class_id=KEY)
        .agg(
            class_school_id=pl.col("school_id").first(),
            term_start=pl.col("start_date").min(),
            term_end=pl.col("end_date").max(),
        )
    )
