"""Computes small charts: bars upright or across, and lines over the years. The macro in ``charts.svg.j2`` draws them.

A chart has no script and no inline style, which the pages' content security policy forbids: the stylesheet gives the
colors by class, in light and in dark. A screen reader gets the title and every value.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rollover.texts.filters import commas

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 60, 8, 12, 26
SHARE_OF_ROOM = 0.72
"""The part of a group's room that its bars fill."""
WIDEST_BAR = 44.0
MOST_TICKS = 5
MOST_NAMES = 16
"""If there are more groups, not every one has its name below the axis."""
FLOOR = HEIGHT - BOTTOM
NAMES = 210
"""The room left of bars that go across, for the names of their groups."""
ROW, LONGEST_NAME = 34, 32
Values = Mapping[str, Sequence[float | None]]
"""The values of each series by its name, one for each group."""


@dataclass(frozen=True)
class Series:
    """One value for each group of a chart, 0 or more; None: there is none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Mark:
    """A bar, or the point of a line: where it is, and the words for its value."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Tick:
    """A line across the chart, and the value that it stands for, with the place of its words."""

    x1: float
    y1: float
    x2: float
    y2: float
    x: float
    y: float
    anchor: str
    words: str


@dataclass(frozen=True)
class Name:
    """The name of a group, at the axis."""

    x: float
    y: float
    anchor: str
    words: str


@dataclass(frozen=True)
class Chart:
    """Values by group and series, e.g. students by grade, last year and this."""

    kind: Literal["bars", "across", "lines"]
    title: str
    groups: tuple[str, ...]
    series: tuple[Series, ...]
    width: int = WIDTH

    def __post_init__(self) -> None:
        if any(len(each.values) != len(self.groups) for each in self.series):
            raise ValueError("each series of a chart has one value for each group")

    @property
    def height(self) -> int:
        return TOP + ROW * len(self.groups) + BOTTOM if self.kind == "across" else HEIGHT

    @property
    def key(self) -> str:
        """An id for the elements of this chart that is the same each time it is drawn."""
        said = repr((self.kind, self.title, self.groups, self.series))
        return f"chart-{hashlib.sha256(said.encode()).hexdigest()[:10]}"

    @property
    def is_empty(self) -> bool:
        return not any(value for each in self.series for value in each.values)

    @property
    def description(self) -> str:
        """Every value, for who cannot see the chart: ``KG: last year 120, this year 118; …``."""
        said = [
            f"{group}: {', '.join(f'{name} {value}'.strip() for name, value in self._said(place))}"
            for place, group in enumerate(self.groups)
        ]
        return "; ".join(said) + "."

    @cached_property
    def ticks(self) -> tuple[Tick, ...]:
        count, step = self._steps
        return tuple(self._tick(number * step) for number in range(count + 1))

    @cached_property
    def names(self) -> tuple[Name, ...]:
        if self.kind == "across":
            shown = [shorten(group) for group in self.groups]
            return tuple(Name(NAMES - 8, self._row(place) + 4, "end", name) for place, name in enumerate(shown))
        every = -(-len(self.groups) // MOST_NAMES)
        return tuple(
            Name(self._middle(place), HEIGHT - 8, "middle", group)
            for place, group in enumerate(self.groups)
            if place % every == 0
        )

    @cached_property
    def marks(self) -> tuple[tuple[Mark, ...], ...]:
        """The bars or points of each series; none for a value that is not there."""
        return tuple(tuple(self._marks_of(number, each)) for number, each in enumerate(self.series))

    @property
    def lines(self) -> tuple[str, ...]:
        """The points of each series as SVG has them: ``60,200 120,180``."""
        return tuple(" ".join(f"{mark.x:g},{mark.y:g}" for mark in marks) for marks in self.marks)

    def _marks_of(self, number: int, series: Series) -> Iterator[Mark]:
        for place, value in enumerate(series.values):
            if value is not None:
                name = f"{self.groups[place]}, {series.name}" if len(self.series) > 1 else self.groups[place]
                yield self._mark(number, place, value, f"{name}: {number_text(value)}")

    def _mark(self, number: int, place: int, value: float, words: str) -> Mark:
        behind = len(self.series) / 2 - number
        if self.kind == "lines":
            return Mark(round(self._middle(place), 1), self._y(value), 0, 0, words)
        if self.kind == "across":
            bar = ROW * SHARE_OF_ROOM / len(self.series)
            y, end = self._row(place) - bar * behind, self._x(value)
            return Mark(NAMES, round(y, 1), round(end - NAMES, 1), round(bar, 1), words)
        bar = min(self._room * SHARE_OF_ROOM / len(self.series), WIDEST_BAR)
        y = self._y(value)
        return Mark(round(self._middle(place) - bar * behind, 1), y, round(bar, 1), round(FLOOR - y, 1), words)

    def _said(self, place: int) -> Iterator[tuple[str, str]]:
        for each in self.series:
            value = each.values[place]
            yield (each.name if len(self.series) > 1 else ""), ("none" if value is None else number_text(value))

    @property
    def _room(self) -> float:
        return (WIDTH - LEFT - RIGHT) / max(len(self.groups), 1)

    def _middle(self, place: int) -> float:
        return LEFT + self._room * (place + 0.5)

    def _row(self, place: int) -> float:
        return TOP + ROW * (place + 0.5)

    def _x(self, value: float) -> float:
        count, step = self._steps
        return round(NAMES + (WIDTH - NAMES - RIGHT - ROW) * value / (count * step), 1)

    def _tick(self, value: float) -> Tick:
        words = number_text(value)
        if self.kind == "across":
            x, floor = self._x(value), self.height - BOTTOM
            return Tick(x, TOP, x, floor, x, floor + 16, "middle", words)
        y = self._y(value)
        return Tick(LEFT, y, WIDTH - RIGHT, y, LEFT - 8, y + 4, "end", words)

    def _y(self, value: float) -> float:
        count, step = self._steps
        return round(FLOOR - (FLOOR - TOP) * value / (count * step), 1)

    @cached_property
    def _steps(self) -> tuple[int, int]:
        """How many steps the axis has, and how large each is: 1, 2 or 5 times a power of ten."""
        highest = max((value for each in self.series for value in each.values if value is not None), default=0)
        power = 1
        while power * 10 * MOST_TICKS < highest:
            power *= 10
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * MOST_TICKS >= highest)
        return max(math.ceil(highest / step), 1), step


def bars(title: str, groups: Sequence[str], series: Values) -> Chart:
    """A chart with a bar for each value; the bars of a group stand side by side."""
    return Chart("bars", title, tuple(groups), _series(series))


def across(title: str, groups: Sequence[str], series: Values) -> Chart:
    """The same with bars that go from left to right, for groups with long names."""
    return Chart("across", title, tuple(groups), _series(series))


def lines(title: str, groups: Sequence[str], series: Values) -> Chart:
    """A chart with a line for each series, such as a number over the years."""
    return Chart("lines", title, tuple(groups), _series(series))


def number_text(value: float) -> str:
    """A value as people read it: 12,345 or 0.5."""
    return commas(int(value)) if value == int(value) else f"{value:,.2f}"


def shorten(name: str) -> str:
    """A name that has room beside a bar."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _series(named: Values) -> tuple[Series, ...]:
    return tuple(Series(name, tuple(values)) for name, values in named.items())
