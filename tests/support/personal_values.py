"""Personal values where none may be: a search for everything that names a person, in whatever form it was written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from sqlalchemy import Engine, text

LONGEST = 8 << 20
"""Characters of a text that are searched at once."""
WORDS = re.compile(r"[^\W\d_]+")
TOKENS = [re.compile(of) for of in (r"[\w.@+-]*\w", r"[^\W_]+(?:[.@+-][^\W_]+)*", r"[^\W_]+")]
"""What ids, logins and addresses are made of: as long as can be, without what a path joins them with, and plain."""
SHORTEST_NUMBER = 7
"""Digits of a number that is searched for: shorter ones are rows, bytes and parts of a second."""
ESCAPED = re.compile(r"\\+u([0-9a-f]{4})", re.IGNORECASE)
BYTES = re.compile(r"\\+x((?:[0-9a-f]{2}){4,})")
DAYS = re.compile(
    r"\d{4}-\d\d-\d\d|\b\d{8}\b|\d{1,2}[/.]\d{1,2}[/.]\d{4}|[a-z]{3,9} \d{1,2}, \d{4}|\d{1,2} [a-z]{3,9} \d{4}"
    r"|date\(\d{4}, \d{1,2}, \d{1,2}\)"
)
EVERY_TABLE = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""


@dataclass(frozen=True)
class Secrets:
    """What must not be seen, in small letters: words of names; ids, logins and addresses; days of birth."""

    names: frozenset[str]
    tokens: frozenset[str]
    days: frozenset[str]

    @classmethod
    def of(cls, people: pl.DataFrame) -> Secrets:
        """Of every person in a snapshot of the roster."""
        names: set[str] = set()
        for column in ("given_name", "middle_name", "family_name"):
            names.update(word for value in _values(people, column) for word in _words(value))
        columns = ("sourced_id", "username", "email", "identifier")
        tokens = {value for column in columns for value in _values(people, column)}
        tokens = {value for value in tokens if not value.isdigit() or len(value) >= SHORTEST_NUMBER}
        days = {form for day in people["birth_date"].drop_nulls().unique() for form in forms_of(day)}
        return cls(*(frozenset(map(_small, found)) for found in (names, tokens, days)))

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(self.names | other.names, self.tokens | other.tokens, self.days | other.days)

    def found_in(self, content: str) -> set[str]:
        """Which of them a text holds: names and ids as whole words, days in any common form."""
        found: set[str] = set()
        for part in _parts(content):
            plain = _small(_unescaped(part))
            found |= self.names & set(WORDS.findall(plain))
            found |= self.tokens & {token for form in TOKENS for token in form.findall(plain)}
            found |= self.days & _days_in(plain)
        return found


def forms_of(day: date) -> set[str]:
    """A day as people and programs write it."""
    month = f"{day:%B}"
    return {
        day.isoformat(),
        f"{day:%Y%m%d}",
        f"{day:%m/%d/%Y}",
        f"{day.month}/{day.day}/{day.year}",
        f"{day:%d.%m.%Y}",
        f"{day.day}.{day.month}.{day.year}",
        f"{month} {day.day}, {day.year}",
        f"{month[:3]} {day.day}, {day.year}",
        f"{day.day} {month} {day.year}",
        f"date({day.year}, {day.month}, {day.day})",
    }


def places(metadata: Engine, *folders: Path) -> Iterator[tuple[str, str]]:
    """Every file below some folders and every table of a database, each with its whole text."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield str(path.relative_to(folder)), path.read_text(errors="replace")
    with metadata.connect() as connection:
        for name in connection.scalars(text(EVERY_TABLE)).all():
            rows = connection.scalars(text(f"SELECT t::text FROM {name} t")).all()
            yield f"table {name}", "\n".join(rows)


def _days_in(plain: str) -> set[str]:
    return set(DAYS.findall(plain))


def _unescaped(content: str) -> str:
    """As it was before it became JSON, or the text of a column of bytes."""
    content = BYTES.sub(lambda found: " " + bytes.fromhex(found[1]).decode("utf-8", "replace") + " ", content)
    content = ESCAPED.sub(lambda found: chr(int(found[1], 16)), content)
    return re.sub(r"\\+[nrt\"'/]", " ", content)


def _small(content: str) -> str:
    return unicodedata.normalize("NFC", content).casefold()


def _words(name: str) -> list[str]:
    return [word for word in WORDS.findall(name) if len(word) > 1]


def _values(people: pl.DataFrame, column: str) -> list[str]:
    return list(people[column].drop_nulls().unique())


def _parts(content: str) -> Iterator[str]:
    """A text in parts of whole lines."""
    start = 0
    while start < len(content):
        end = content.find("\n", start + LONGEST)
        end = len(content) if end < 0 else end
        yield content[start:end]
        start = end
