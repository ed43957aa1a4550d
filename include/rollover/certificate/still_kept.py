"""What a certificate names as still kept, as a value. It imports nothing heavy, for the command line shows it too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StillKept:
    """Data that a rule keeps, its place and its end: `until` is the day after which it is removed, None if there is
    none."""

    what: str
    where: str
    number: int
    unit: str
    until: str | None
    ends: str

    def __str__(self) -> str:
        until = f"until {self.until}" if self.until else "no day is set"
        return f"{self.what}: {self.number} {self.unit}, {self.where}, {until}, {self.ends}"
