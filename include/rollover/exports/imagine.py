"""Defines the reports of Imagine Math and Imagine Math Facts. They are blank after a reset, since accounts are gone."""

from __future__ import annotations

from rollover.exports.report import Report, columns

USED = """
    First week: date, Last week: date, Weeks active: whole, Minutes: whole, Problems: whole
"""
LESSONS = "Lessons assigned: whole, Lessons passed: whole, Average score: number"
PROGRESS = "school_id, classroom_id, school, classroom, teacher, last_name, first_name, grade"
RESULT = "lessons_assigned: whole, lessons_passed: whole, average_score: number"
YEAR = "minutes: whole, problems: whole, weeks_active: whole"
BY_CLASSROOM = ("school_id", "classroom_id")

REPORTS = (
    Report(
        "imagine_math",
        "student_data_export",
        "Student Data Export",
        "xlsx",
        "imagine/math_student_data_export",
        columns(
            f"""School, Account, Last name, First name, Grade, Grade band, Classrooms, {USED}, Pathways,
            Pathways assigned: whole, Pathways completed: whole, {LESSONS}, Tests taken: whole, First test: date,
            First score: whole, Last test: date, Last score: whole, Growth: whole, THINK Points: whole"""
        ),
    ),
    Report(
        "imagine_math",
        "student_progress_prek_2",
        "Student Progress, PreK-2",
        "pdf",
        "imagine/student_progress_prek_2",
        columns(f"{PROGRESS}, pathways, {RESULT}, {YEAR}, weeks: list, tests: list"),
        files=BY_CLASSROOM,
        template="progress_prek_2",
        page_per_row=True,
    ),
    Report(
        "imagine_math",
        "student_progress_3_plus",
        "Student Progress, 3+",
        "pdf",
        "imagine/student_progress_3_plus",
        columns(
            f"""{PROGRESS}, pathway, assigned_on: date, completed_on: date, {RESULT}, {YEAR}, think_points: whole,
            weeks: list, tests: list"""
        ),
        files=BY_CLASSROOM,
        template="progress_3_plus",
        page_per_row=True,
    ),
    Report(
        "imagine_math_facts",
        "student_data_export",
        "Student Data Export",
        "xlsx",
        "imagine/facts_student_data_export",
        columns(
            f"""School, Account, Last name, First name, Grade, Classrooms, {USED}, {LESSONS},
            Addition lessons passed: whole, Addition score: number,
            Subtraction lessons passed: whole, Subtraction score: number,
            Multiplication lessons passed: whole, Multiplication score: number,
            Division lessons passed: whole, Division score: number,
            Checks taken: whole, First check: date, First score: whole, Last check: date, Last score: whole,
            Growth: whole"""
        ),
    ),
)
