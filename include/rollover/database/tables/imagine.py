"""Declares the tables of Imagine Math and Imagine Math Facts: accounts, classrooms and the year's academic data.

Facts has the same accounts and academic data, but no pathways, THINK points or avatars.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Date, DateTime, Integer, Numeric

from rollover.database.tables.base import activity_table, bigint, product_table, text

MATH = "imagine_math"
FACTS = "imagine_math_facts"

for _schema in (MATH, FACTS):
    product_table(
        _schema,
        "student_accounts",
        "account_id",
        "student_accounts",
        text("account_id"),
        text("person_id"),
        text("username"),
        text("grade"),
        text("band"),
        Column("created_at", DateTime(timezone=True), nullable=False),
        CheckConstraint("band IN ('PreK-2', '3+')", name="band"),
        comment="A student's account; a returning student gets a new one each year",
    )
    product_table(
        _schema,
        "educator_accounts",
        "account_id",
        "educator_accounts",
        text("account_id"),
        text("person_id"),
        text("username"),
        Column("created_at", DateTime(timezone=True), nullable=False),
        comment="An educator's account; kept",
    )
    product_table(
        _schema,
        "classrooms",
        "classroom_id",
        "classrooms",
        text("classroom_id"),
        text("class_id"),
        text("name"),
        text("educator_account_id", null=True),
        comment="A class as the product shows it",
    )
    product_table(
        _schema,
        "classroom_students",
        "classroom_id,account_id",
        "classrooms",
        text("classroom_id"),
        text("account_id"),
        comment="Who is in a classroom",
    )
    activity_table(
        _schema,
        "assessments",
        "assessment_id",
        "assessment",
        bigint("assessment_id"),
        text("account_id"),
        text("name"),
        Column("score", Integer, nullable=False),
        Column("taken_on", Date, nullable=False),
        comment="A test taken: the benchmarks of Imagine Math, the fluency checks of Facts",
    )
    activity_table(
        _schema,
        "progress",
        "account_id,pathway",
        "progress",
        text("account_id"),
        text("pathway"),
        Column("lessons_assigned", Integer, nullable=False),
        Column("lessons_passed", Integer, nullable=False),
        Column("average_score", Numeric(5, 2)),
        comment="How far a student came in a pathway",
    )
    activity_table(
        _schema,
        "usage",
        "account_id,week_of",
        "usage",
        text("account_id"),
        Column("week_of", Date, nullable=False),
        Column("minutes", Integer, nullable=False),
        Column("problems", Integer, nullable=False),
        comment="Time and problems per student and week",
    )

activity_table(
    MATH,
    "pathways",
    "account_id,pathway",
    "pathway",
    text("account_id"),
    text("pathway"),
    Column("assigned_on", Date, nullable=False),
    Column("completed_on", Date),
    comment="The pathways a student is on; some 3+ students are on several",
)

product_table(
    MATH,
    "think_points",
    "account_id",
    "think_points",
    text("account_id"),
    Column("points", Integer, nullable=False),
    Column("as_of", DateTime(timezone=True), nullable=False),
    CheckConstraint("points >= 0", name="never_negative"),
    comment="THINK Points of 3+ students",
)

product_table(
    MATH,
    "avatars",
    "account_id",
    "avatars",
    text("account_id"),
    text("avatar"),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    comment="Avatars of 3+ students",
)
