"""Defines the comparison of a set with the live roster, as the ledger keeps it: numbers, with schools by id and
name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from rollover.roster.comparing.breaches import Breach, Code, Season
from rollover.roster.comparing.numbers import has_moved
from rollover.roster.comparing.rekeyed import IdMap
from rollover.roster.comparing.tally import CHANGES, TYPES, Flow, Tally
from rollover.roster.imports import Import

OF_A_SCHOOL = ("classes", "students", "educators", "guardians", "enrollments")
"""The types whose rows belong to a school."""


@dataclass(frozen=True)
class TypeCount:
    """Rows of one type: ``staged`` = added + returned + changed + unchanged, ``live`` = changed + unchanged + removed.

    ``moved`` is the number of changed rows with another school; ``rekeyed`` the number of removed rows that are among
    the added ones under another id. A row that has another type now (a student who teaches) counts as removed from the
    old type and added to the new one.
    """

    staged: int
    live: int
    added: int
    returned: int
    changed: int
    moved: int
    unchanged: int
    removed: int
    rekeyed: int


@dataclass(frozen=True)
class SchoolCount:
    """The same for one type in one school (None: in no school). People who came from or went to another school are in
    ``moved_in`` and ``moved_out``, not in ``changed``."""

    school: str | None
    kind: str
    staged: int = 0
    live: int = 0
    added: int = 0
    returned: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    rekeyed: int = 0
    moved_in: int = 0
    moved_out: int = 0


@dataclass(frozen=True)
class Cohort:
    """Students of a grade in a school: expected from last year, and found."""

    school: str
    grade: str | None
    expected: int
    found: int


@dataclass(frozen=True)
class Comparison:
    """The changes of a set, its breaches, and the version of the live roster. It names no person."""

    season: Season
    school_year: str
    live_school_year: str | None
    roster_version: int
    types: dict[str, TypeCount]
    schools: tuple[SchoolCount, ...]
    names: dict[str, str]
    cohorts: tuple[Cohort, ...]
    breaches: tuple[Breach, ...]
    warnings: tuple[Breach, ...]
    id_map: IdMap = field(default_factory=IdMap)
    id_map_is_offered: bool = False

    @property
    def why_in_review(self) -> str:
        """One line for the ledger: the limits that are exceeded, and how often."""
        codes = [breach.code.value for breach in self.breaches]
        return "over its limits: " + ", ".join(f"{code} ({codes.count(code)})" for code in dict.fromkeys(codes))

    @property
    def digest(self) -> str:
        """The hash of everything that a person decides about: the breaches with their numbers, and the proposed map of
        ids."""
        said = [[asdict(breach) for breach in self.breaches], self.id_map.sha256]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "digest": self.digest}

    @classmethod
    def of(cls, found: Import) -> Self | None:
        """The comparison that the ledger has of an import; None before there is one."""
        return None if found.comparison is None else cls.from_json(found.comparison)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        def breaches(name: str) -> tuple[Breach, ...]:
            return tuple(Breach(**{**each, "code": Code(each["code"])}) for each in said[name])

        return cls(
            season=Season(said["season"]),
            school_year=said["school_year"],
            live_school_year=said["live_school_year"],
            roster_version=said["roster_version"],
            types={kind: TypeCount(**counts) for kind, counts in said["types"].items()},
            schools=tuple(SchoolCount(**counts) for counts in said["schools"]),
            names=said["names"],
            cohorts=tuple(Cohort(**each) for each in said["cohorts"]),
            breaches=breaches("breaches"),
            warnings=breaches("warnings"),
            id_map=IdMap(**said["id_map"]),
            id_map_is_offered=said["id_map_is_offered"],
        )


def type_counts(counted: Tally) -> dict[str, TypeCount]:
    """The rows of each type, by what happens to them."""
    return {kind: _type_count([flow for flow in counted.flows if flow.kind == kind]) for kind in TYPES}


def _type_count(flows: list[Flow]) -> TypeCount:
    by_change = {change: sum(flow.rows for flow in flows if flow.change == change) for change in CHANGES}
    return TypeCount(
        staged=sum(flow.rows for flow in flows if flow.is_staged),
        live=sum(flow.rows for flow in flows if flow.is_live),
        moved=sum(flow.rows for flow in flows if has_moved(flow)),
        rekeyed=sum(flow.rekeyed for flow in flows),
        **by_change,
    )


def school_counts(counted: Tally) -> tuple[SchoolCount, ...]:
    """The same by school, for the types that belong to one."""
    found: dict[tuple[str | None, str], dict[str, int]] = {}

    def add(school: str | None, kind: str, rows: int, *names: str) -> None:
        counts = found.setdefault((school, kind), {})
        for name in names:
            counts[name] = counts.get(name, 0) + rows

    for flow in counted.flows:
        if flow.kind not in OF_A_SCHOOL:
            continue
        if has_moved(flow):
            add(flow.school, flow.kind, flow.rows, "staged", "moved_in")
            add(flow.live_school, flow.kind, flow.rows, "live", "moved_out")
            continue
        sides = [name for name, there in (("staged", flow.is_staged), ("live", flow.is_live)) if there]
        school = flow.school if flow.is_staged else flow.live_school
        add(school, flow.kind, flow.rows, flow.change, *sides)
        add(school, flow.kind, flow.rekeyed, "rekeyed")
    ordered = sorted(found.items(), key=lambda item: (item[0][0] or "", TYPES.index(item[0][1])))
    return tuple(SchoolCount(school, kind, **counts) for (school, kind), counts in ordered)
