"""Describes the changes of a new roster in sentences and tables, with numbers, schools and grades, and nobody's name.

The words are in ``texts/roster_review.md.j2`` and ``texts/over_a_limit.md.j2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rollover.markdown import escaped
from rollover.roster.comparing.breaches import Breach, Code, Season
from rollover.roster.comparing.comparison import Comparison, SchoolCount
from rollover.roster.comparing.tally import TYPES
from rollover.roster.imports import Import
from rollover.texts import render

SHOWN_BREACHES = 40
SHOWN_SCHOOLS = 60
"""If there are more, those with the largest differences are shown, and the number of the others."""
SHOWN_OF_A_DIGEST = 12
TYPE_NAMES = {
    "other_orgs": "other organizations",
    "guardian_links": "guardian links",
}


def markdown(found: Import, seen: Comparison, answers: Iterable[str]) -> str:
    """The question about a roster in review: why it needs one, what would change, and what each of `answers` does."""
    schools = _schools(seen)
    return render(
        "roster_review.md.j2",
        found_at=found.found_at,
        import_id=found.import_id,
        school_year=seen.school_year,
        live_school_year=seen.live_school_year,
        season=seen.season.value,
        digest=seen.digest[:SHOWN_OF_A_DIGEST],
        reasons=_sentences(seen, seen.breaches),
        more_reasons=len(seen.breaches[SHOWN_BREACHES:]),
        warnings=_sentences(seen, seen.warnings),
        more_warnings=len(seen.warnings[SHOWN_BREACHES:]),
        types=list(_types(seen)),
        schools=schools[:SHOWN_SCHOOLS],
        more_schools=len(schools[SHOWN_SCHOOLS:]),
        answers=list(answers),
        people=seen.id_map.people,
    )


def subject(seen: Comparison, district: str, product: str) -> str:
    """The same question in one line: which district and product, and the most important reason."""
    of_code = {breach.code: breach for breach in reversed(seen.breaches)}
    lost = [breach.school for breach in seen.breaches if breach.code is Code.SCHOOL_LOST and breach.school]
    emptied = of_code.get(Code.EMPTIED)
    return render(
        "roster_review_subject.txt.j2",
        district=district,
        product=product,
        lost_schools=[seen.names.get(school) or school for school in lost],
        emptied=TYPE_NAMES.get(emptied.what, emptied.what) if emptied else None,
        same_files=Code.SEEN_BEFORE in of_code,
        limits=len(seen.breaches),
    )


def in_words(breach: Breach, seen: Comparison) -> str:
    """A breach as a sentence, in Markdown."""
    return render(
        "over_a_limit.md.j2",
        code=breach.code.value,
        in_year=seen.season is Season.DURING_THE_YEAR,
        what=TYPE_NAMES.get(breach.what, breach.what),
        school=_name(seen, breach.school) if breach.school else None,
        grade=breach.grade,
        expected=breach.expected,
        found=breach.found,
        limit=breach.limit,
    )


def _sentences(seen: Comparison, breaches: Sequence[Breach]) -> list[tuple[str, str]]:
    return [(in_words(breach, seen), breach.code.value) for breach in breaches[:SHOWN_BREACHES]]


def _types(seen: Comparison) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The numbers of each type that has rows."""
    for kind in TYPES:
        count = seen.types[kind]
        if count.live or count.staged:
            numbers = (count.live, count.staged, count.added + count.returned, count.changed, count.moved)
            yield TYPE_NAMES.get(kind, kind), (*numbers, count.removed, count.rekeyed)


def _schools(seen: Comparison) -> list[tuple[str, tuple[int, ...]]]:
    """Students by school: schools with a breach first, then by the difference from the expected number."""
    named = {breach.school for breach in seen.breaches if breach.school}
    expected = _expected(seen)
    counts = [count for count in seen.schools if count.kind == "students"]
    counts.sort(key=lambda count: (count.school not in named, -_distance(count, expected), count.school or ""))
    return [
        (
            _name(seen, count.school),
            (
                *(count.live, expected.get(count.school, count.live), count.staged, count.added + count.returned),
                *(count.moved_in, count.moved_out, count.removed),
            ),
        )
        for count in counts
    ]


def _expected(seen: Comparison) -> dict[str | None, int]:
    """Expected students by school for a new year; empty in other seasons."""
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
