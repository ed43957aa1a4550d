"""A comparison as a person reads it: sentences and tables. Numbers, schools and grades; nobody's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rollover.markdown import escaped
from rollover.roster.comparing.comparison import Comparison, SchoolCount
from rollover.roster.comparing.safety import Breach, Code, Season
from rollover.roster.comparing.tally import TYPES
from rollover.roster.imports import Import

SHOWN_BREACHES = 40
SHOWN_SCHOOLS = 60
"""Of more than that, those with the largest differences are shown, and how many are not is said."""
SHOWN_OF_A_DIGEST = 12
TYPE_NAMES = {
    "other_orgs": "other orgs",
    "guardian_links": "links of guardians to students",
}
SENTENCES = {
    Code.EMPTIED: "There are no {what} in the set, and {expected} are live. A missing or empty file never means that "
    "everything is deleted.",
    Code.REMOVED: "{found} of {expected} {what} are not in the set ({share}; the limit is {limit}).",
    Code.CHANGED: "{found} of {expected} {what} are changed ({share}; the limit is {limit}).",
    Code.HALF_SET: "The set has {found} {what}, and {expected} are expected: {fewer} fewer. At most {limit} may be "
    "missing.",
    Code.SCHOOL_LOST: "{school} has no students in the set. {expected} are expected, and most are in no other school.",
    Code.SCHOOL_SHRUNK: "{school} has {found} students, and {expected} are expected. Most of those who are missing are "
    "in no other school.",
    Code.SCHOOL_GROWN: "{school} has {found} students, and {expected} are expected.",
    Code.SCHOOL_CLOSED: "{school} has no students any more. They are in other schools.",
    Code.SCHOOL_ADDED: "{school} is new, with {found} students.",
    Code.SCHOOL_REKEYED: "{found} of {expected} schools have another id than before. Subscriptions and product data "
    "are still under the old one: change the directory before you approve.",
    Code.GRADE_LOST: "Grade {grade} is missing in {school}. {expected} students are expected.",
    Code.GRADE_SHRUNK: "Grade {grade} in {school} has {found} students, and {expected} are expected.",
    Code.GRADE_GROWN: "Grade {grade} in {school} has {found} students, and {expected} are expected.",
    Code.GROWN: "The set has {found} {what}, and {expected} are expected.",
    Code.STALE_YEAR: "{found} of {expected} returning students{at} are in last year's grade ({share}; the limit is "
    "{limit}): the set seems to be last year's.",
    Code.SAME_CONTENT: "The students, classes and enrollments are those of last year, to the last row.",
    Code.SEEN_BEFORE: "The files are, byte for byte, those of an earlier drop, which has been {what} since.",
    Code.PROMOTED_TWICE: "{found} of {expected} returning students{at} are a grade too far up ({share}; the limit is "
    "{limit}): they were promoted twice.",
    Code.PROMOTED_IN_YEAR: "{found} of {expected} students{at} are a grade up in the middle of the year ({share}; the "
    "limit is {limit}): the set seems to be next year's.",
    Code.GRADUATES: "{found} of the {expected} students of grade {grade}, last year's last one, are still there "
    "({share}; the limit is {limit}). That is right only where the district has a further grade now.",
    Code.SECTION_IDS_REUSED: "{found} of {expected} classes have the id of a class of last year ({share}; the limit is "
    "{limit}).",
    Code.REKEYED: "{found} of {expected} {what} have another id than before ({share}; the limit is {limit}). By id "
    "alone they would leave, and come as somebody else.",
    Code.IDS_REASSIGNED: "{found} of {expected} {what} have the id of somebody with another name and birth date "
    "({share}; the limit is {limit}).",
    Code.OTHER_DISTRICT: "{found} of {expected} schools are known ({share}; at least {limit} have to be): these may be "
    "another district's files.",
    Code.CUT_OFF: "{what} ends inside a row: it was cut off, and nobody can tell how much is missing.",
    Code.OTHER_STATUS: "{found} of {expected} rows of {what} have a status that is neither active nor tobedeleted. "
    "Approved, they are live. What it means can stand in the district file (status_means).",
    Code.ROWS_KEPT_OUT: "{found} of {expected} rows of {what} are kept out for errors ({share}; the limit is {limit}).",
    Code.WITHOUT_ENROLLMENT: "{found} of {expected} students are in no class ({share}; the limit is {limit}): the "
    "enrollments may be cut off.",
}
STALE_IN_YEAR = (
    "{found} of {expected} students{at} are a grade lower than they are now ({share}; the limit is {limit}): the set "
    "seems to be last year's."
)


def markdown(found: Import, seen: Comparison, answers: Iterable[tuple[str, str]]) -> str:
    """The numbers of a comparison, what is over its limits in plain words, and what each of the `answers` does."""
    season = {
        Season.FIRST: "the first import of this tenant",
        Season.DURING_THE_YEAR: f"for the year that is live, {seen.live_school_year}",
        Season.NEW_YEAR: f"the first of a new year; {seen.live_school_year} is live",
    }[seen.season]
    lines = [
        f"The drop of {found.found_at:%Y-%m-%d %H:%M} UTC is a roster of **{seen.school_year}**: {season}. "
        "Nothing of it is applied yet.",
        "",
        "**Over the limits**",
        "",
        *_listed(seen, seen.breaches),
        *(["", "**Worth knowing**", "", *_listed(seen, seen.warnings)] if seen.warnings else []),
        "",
        *_types_table(seen),
        "",
        *_schools_table(seen),
        "",
        "**Answers**",
        "",
        *(f"- *{answer}*: {effect}" for answer, effect in answers),
        "",
        f"Import `{found.import_id}`, comparison `{seen.digest[:SHOWN_OF_A_DIGEST]}`.",
    ]
    return "\n".join(lines)


def in_words(breach: Breach, seen: Comparison) -> str:
    """A breach as a sentence."""
    sentence = SENTENCES[breach.code]
    if breach.code is Code.STALE_YEAR and seen.season is Season.DURING_THE_YEAR:
        sentence = STALE_IN_YEAR
    school = _name(seen, breach.school)
    return sentence.format(
        what=TYPE_NAMES.get(breach.what, breach.what),
        school=school,
        at=f" in {school}" if breach.school else "",
        grade=breach.grade or "unknown",
        expected=f"{breach.expected:,}",
        found=f"{breach.found:,}",
        fewer=f"{max(0, breach.expected - breach.found):,}",
        share=_percent(breach.found / breach.expected) if breach.expected else "all",
        limit=_percent(breach.limit),
    )


def _listed(seen: Comparison, breaches: tuple[Breach, ...]) -> Iterator[str]:
    for breach in breaches[:SHOWN_BREACHES]:
        yield f"- {in_words(breach, seen)} `{breach.code}`"
    if len(breaches) > SHOWN_BREACHES:
        yield f"- … and {len(breaches) - SHOWN_BREACHES} more."


def _types_table(seen: Comparison) -> Iterator[str]:
    yield "| | Live | In the set | Added | Changed | Moved | Removed | Other id |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for kind in TYPES:
        count = seen.types[kind]
        if count.live or count.staged:
            numbers = (count.live, count.staged, count.added + count.returned, count.changed, count.moved)
            yield _row(TYPE_NAMES.get(kind, kind), *numbers, count.removed, count.rekeyed)


def _schools_table(seen: Comparison) -> Iterator[str]:
    """Students by school: those with a breach first, then by how far the number is from what was."""
    named = {breach.school for breach in seen.breaches if breach.school}
    expected = _expected(seen)
    rows = [count for count in seen.schools if count.kind == "students"]
    rows.sort(key=lambda count: (count.school not in named, -_distance(count, expected), count.school or ""))
    yield "| Students in | Live | Expected | In the set | New | Came from a school | Went to a school | Removed |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for count in rows[:SHOWN_SCHOOLS]:
        wanted = expected.get(count.school, count.live)
        new = count.added + count.returned
        numbers = (count.live, wanted, count.staged, new, count.moved_in, count.moved_out, count.removed)
        yield _row(_name(seen, count.school), *numbers)
    if len(rows) > SHOWN_SCHOOLS:
        yield f"\n… and {len(rows) - SHOWN_SCHOOLS} schools more."


def _expected(seen: Comparison) -> dict[str | None, int]:
    """Students by school, as the new year is expected; empty in other seasons."""
    found: dict[str | None, int] = {}
    for cohort in seen.cohorts:
        found[cohort.school] = found.get(cohort.school, 0) + cohort.expected
    return found


def _distance(count: SchoolCount, expected: dict[str | None, int]) -> int:
    return abs(count.staged - expected.get(count.school, count.live))


def _name(seen: Comparison, school: str | None) -> str:
    if school is None:
        return "no school"
    return f"{escaped(seen.names.get(school) or 'a school')} ({escaped(school)})"


def _row(name: str, *numbers: int) -> str:
    return f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} |"


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


assert set(SENTENCES) == set(Code)
