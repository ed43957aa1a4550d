"""Makes the data of Hero: years of tracked behavior, consequences and points.

Frames have the columns of their tables, in any order and without ``tenant_id``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from rollover.calendar import SchoolYear
from rollover_demo.seed import hero_settings
from rollover_demo.seed.names import ACTIONS, BEHAVIOR_CODES, EVENT_COMMENTS, LOCATIONS, PERIODS
from rollover_demo.seed.roster import Roster, generator, noon, school_for

Frames = dict[str, pl.DataFrame]
# The activity tables, with the column that numbers a tenant's rows over all years.
ACTIVITY_KEYS = {
    "tracking_events": "event_id",
    "action_assignments": "assignment_id",
    "points_ledger": "entry_id",
}
# Days (month, day) on which the school store is open: points are redeemed on these.
STORE_DAYS = ((11, 20), (2, 14), (5, 15))


def frames(roster: Roster) -> Frames:
    """Return every table of the ``hero`` schema, by name: activity of past years and this one, and the state."""
    years = [SchoolYear(roster.year.first_year - n) for n in range(roster.tenant.past_years, -1, -1)]
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in ACTIVITY_KEYS}
    events_so_far = 0
    for year in years:
        activity = _activity(roster, year, events_so_far)
        events_so_far += len(activity["tracking_events"])
        for name, frame in activity.items():
            parts[name].append(frame)
    found = {name: pl.concat(part) for name, part in parts.items()}
    for name in ("action_assignments", "points_ledger"):
        found[name] = found[name].with_columns(_numbers(ACTIVITY_KEYS[name], 0))
    return {
        **found,
        "point_balances": _balances(roster, found["points_ledger"]),
        **hero_settings.frames(roster),
    }


def school_days(roster: Roster, year: SchoolYear) -> list[date]:
    """Return the weekdays of a school year without the usual breaks."""
    calendar = roster.district.calendar(year)
    autumn, spring = year.first_year, year.last_year
    breaks = (
        (date(autumn, 9, 1), date(autumn, 9, 7)),
        (date(autumn, 11, 24), date(autumn, 11, 28)),
        (date(autumn, 12, 22), date(spring, 1, 2)),
        (date(spring, 3, 30), date(spring, 4, 3)),
    )
    days = [calendar.starts + timedelta(days=n) for n in range((calendar.ends - calendar.starts).days + 1)]
    return [day for day in days if day.weekday() < 5 and not any(a <= day <= b for a, b in breaks)]


def _activity(roster: Roster, year: SchoolYear, events_before: int) -> Frames:
    rng = generator(roster.tenant.id, "activity", year.key)
    events = _events(rng, roster, year).with_columns(_numbers("event_id", events_before))
    assignments = _assignments(rng, events)
    points = _points(rng, roster, year, events)
    events = events.drop("on")
    return {
        name: frame.with_columns(pl.lit(year.key).alias("school_year"))
        for name, frame in zip(ACTIVITY_KEYS, (events, assignments, points), strict=True)
    }


def _students_in(roster: Roster, year: SchoolYear) -> list[tuple[str, str]]:
    """(student, school) of a year up to the roster's, those included who have graduated since."""
    back = roster.year.first_year - year.first_year
    students = [p for p in roster.people if p.role == "student" and p.grade is not None]
    then = ((p, school_for(roster.tenant, p, (p.grade or 0) + p.years_gone - back)) for p in students)
    return [(person.id, school.id) for person, school in then if school]


def _events(rng: np.random.Generator, roster: Roster, year: SchoolYear) -> pl.DataFrame:
    """Tracked behavior in school hours of school days, in order. A few students get much more than others."""
    students = _students_in(roster, year)
    count = len(students) * roster.tenant.events_per_student
    eager = rng.gamma(1.5, size=len(students))
    who = rng.choice(len(students), count, p=eager / eager.sum())
    weights = np.array([code[4] for code in BEHAVIOR_CODES], dtype=float)
    what = rng.choice(len(BEHAVIOR_CODES), count, p=weights / weights.sum())
    days = np.array(school_days(roster, year), dtype="datetime64[D]")
    on = days[rng.integers(len(days), size=count)]
    period = rng.integers(len(PERIODS), size=count)
    seconds = 8 * 3600 + 300 + period * 3600 + rng.integers(0, 2700, size=count)
    schools = [school_id for _, school_id in students]
    staff = {s.id: [p.id for p in roster.educators if p.school_id == s.id] for s in roster.tenant.schools}
    seat = rng.random(count)
    comment = rng.integers(len(EVENT_COMMENTS) * 8, size=count)
    frame = pl.DataFrame(
        {
            "school_id": [schools[i] for i in who],
            "student_id": [students[i][0] for i in who],
            "employee_id": [staff[schools[i]][int(x * len(staff[schools[i]]))] for i, x in zip(who, seat, strict=True)],
            "code_id": [f"{schools[i]}-{BEHAVIOR_CODES[c][0]}" for i, c in zip(who, what, strict=True)],
            "on": on,
            "occurred_at": (on.astype("datetime64[s]") + seconds.astype("timedelta64[s]")).astype("datetime64[us]"),
            "location": [LOCATIONS[i] for i in rng.integers(len(LOCATIONS), size=count)],
            "points": [BEHAVIOR_CODES[c][3] for c in what],
            "comment": [EVENT_COMMENTS[c] if c < len(EVENT_COMMENTS) else None for c in comment],
        },
    ).sort("occurred_at", maintain_order=True)
    local = pl.col("occurred_at").dt.replace_time_zone(roster.district.time_zone)
    return frame.with_columns(local.dt.convert_time_zone("UTC"))


def _assignments(rng: np.random.Generator, events: pl.DataFrame) -> pl.DataFrame:
    """A consequence each time a student reaches a code's threshold; most are served some days later."""
    rules = pl.DataFrame(
        [(slug, code, threshold) for slug, _, code, threshold in ACTIONS],
        ["action", "code", "threshold"],
        orient="row",
    )
    reached = (
        events.with_columns(
            pl.col("code_id").str.split("-").list.last().alias("code"),
            pl.int_range(1, pl.len() + 1).over("student_id", "code_id").alias("times"),
        )
        .join(rules, on="code", maintain_order="left")
        .filter(pl.col("times") % pl.col("threshold") == 0)
    )
    served = pl.lit(pl.Series(rng.random(len(reached)) < 0.92))
    after = pl.lit(pl.Series(rng.integers(1, 6, size=len(reached))))
    return reached.select(
        "school_id",
        "event_id",
        "student_id",
        pl.concat_str("school_id", pl.lit("-"), "action").alias("action_id"),
        pl.col("on").alias("assigned_on"),
        pl.when(served).then(pl.col("on") + pl.duration(days=after)).alias("served_on"),
    )


def _points(rng: np.random.Generator, roster: Roster, year: SchoolYear, events: pl.DataFrame) -> pl.DataFrame:
    """Points earned, and redeemed from what was there. A past year ends with the reset that emptied it."""
    columns = ("school_id", "student_id", "kind", "points", "entered_at")
    earned = events.filter(pl.col("points") > 0).select(
        "school_id",
        "student_id",
        pl.lit("earned").alias("kind"),
        "points",
        pl.col("occurred_at").alias("entered_at"),
    )
    entries = earned
    for month, day in STORE_DAYS:
        opens = datetime(year.first_year if month > 7 else year.last_year, month, day, 22, tzinfo=UTC)
        purse = _sums(entries.filter(pl.col("entered_at") < opens))
        share = pl.Series(np.where(rng.random(len(purse)) < 0.6, rng.random(len(purse)), 0.0))
        spent = purse.with_columns(
            pl.lit("redeemed").alias("kind"),
            (-(pl.col("points") * share).floor()).cast(pl.Int64).alias("points"),
            pl.lit(opens).alias("entered_at"),
        ).filter(pl.col("points") < 0)
        entries = pl.concat([entries, spent.select(columns)])
    thanks = earned.gather_every(997).with_columns(pl.lit("adjusted").alias("kind"), pl.lit(5).alias("points"))
    entries = pl.concat([entries, thanks.with_columns(pl.col("points").cast(pl.Int64))])
    if year != roster.year:
        emptied = datetime(year.last_year, 7, 8, 11, tzinfo=UTC)
        rest = _sums(entries).filter(pl.col("points") > 0)
        reset = rest.with_columns(pl.lit("reset").alias("kind"), -pl.col("points"), pl.lit(emptied).alias("entered_at"))
        entries = pl.concat([entries, reset.select(columns)])
    return entries.sort("entered_at", maintain_order=True)


def _sums(entries: pl.DataFrame) -> pl.DataFrame:
    return entries.group_by("school_id", "student_id", maintain_order=True).agg(pl.col("points").sum())


def _balances(roster: Roster, ledger: pl.DataFrame) -> pl.DataFrame:
    """Return what each current student can spend: the sum of this year's entries."""
    spendable = (
        ledger.filter(pl.col("school_year") == roster.year.key).group_by("student_id").agg(pl.col("points").sum())
    )
    return (
        pl.DataFrame(
            {
                "student_id": [p.id for p in roster.students],
                "school_id": [p.school_id for p in roster.students],
            }
        )
        .join(spendable, on="student_id", how="left", maintain_order="left")
        .select(
            "school_id",
            "student_id",
            pl.col("points").fill_null(0).alias("balance"),
            pl.lit(noon(roster.district.calendar(roster.year).ends)).alias("as_of"),
        )
    )


def _numbers(name: str, before: int) -> pl.Expr:
    return pl.int_range(before + 1, before + 1 + pl.len(), dtype=pl.Int64).alias(name)
