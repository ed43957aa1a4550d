"""Defects at random, as systems and people make them: each spoils a whole set of rows, or its files, a little more."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.support.roster.generated_sets import STANDARD, Rows, as_csv, as_files, header, manifest

Files = dict[str, bytes]
DATES = ("2026-02-30", "soon", "3/4/2012", "03/04/12", "2012-3-4", "2012-03-04T00:00:00Z", "0012-03-04", "13/13/2012")
DAYS = (
    ("2025-08-15", "2025-08-01", "2026-01-10", "2026-06-05", "2027-02-01"),
    ("8/15/2025", "8/1/2025", "1/10/2026", "6/5/2026", "2/1/2027"),
)
GRADES = ("5", "05,06", "XX", "K", "Kindergarten", "-1", "grade 3", "")
IDS = ("a b", "x" * 256, "ü", "{123}", "")
WORDS = ("pupil", "TRUE", "Student", "yes", "ext:own", "none", "")


class RandomDefects:
    """Spoils rows by seed."""

    def __init__(self, spec: str, rows: Rows, seed: int) -> None:
        self.spec = spec
        self.rows = rows
        self.pick = random.Random(seed)

    def spoil(self, times: int) -> None:
        ways = (
            *(self.value, self.value, self.value, self.plausible, self.plausible, self.plausible),
            *(self.reference, self.reference, self.again, self.lose, self.swap, self.second_of_one),
        )
        for _ in range(times):
            self.pick.choice(ways)()

    def _file(self) -> str:
        return self.pick.choice([file for file, rows in self.rows.items() if rows])

    def value(self) -> None:
        """Write something else into a field."""
        file = self._file()
        name, _, form = self.pick.choice(STANDARD[self.spec]["files"][file])
        self.pick.choice(self.rows[file])[name] = self._wrong(file, name, form)

    def plausible(self) -> None:
        """Write something into a field that is right in itself."""
        enums = STANDARD[self.spec]["enums"]
        choices = [
            (file, name, enums.get(file, {}).get(name, ()) or DAYS[self.spec == "clever"])
            for file in self.rows
            for name, _, form in STANDARD[self.spec]["files"][file]
            if self.rows[file] and (name in enums.get(file, {}) or form == "Date")
        ]
        file, name, words = self.pick.choice(choices)
        self.pick.choice(self.rows[file])[name] = self.pick.choice(words)

    def _wrong(self, file: str, name: str, form: str) -> str:
        if form == "Date":
            return self.pick.choice(DATES)
        if form == "Year":
            return self.pick.choice(("25-26", "2025-2026", "MMXXVI", ""))
        if name.lower().startswith("grade") or form == "Grade":
            return self.pick.choice(GRADES)
        if name in STANDARD[self.spec]["enums"].get(file, {}) or form == "Boolean":
            return self.pick.choice(WORDS)
        if name == "status":
            return self.pick.choice(("active", "tobedeleted", "inactive"))
        if form == "GUID" or name in ("School_id", "Section_id", "Student_id", "Teacher_id"):
            return self.pick.choice(IDS)
        return self.pick.choice(("", "something", "a, b"))

    def reference(self) -> None:
        """Let a row refer to something else, or to nothing."""
        file = self.pick.choice(
            [file for file, refs in STANDARD[self.spec]["refs"].items() if self.rows.get(file) and refs]
        )
        column, target = self.pick.choice(list(STANDARD[self.spec]["refs"][file].items()))
        row = self.pick.choice(self.rows[file])
        if column not in row or not self.rows.get(target):
            return
        identity = "sourcedId" if self.spec != "clever" else column.replace("_2", "").replace("_3", "")
        others = [each[identity] for each in self.rows[target] if each.get(identity)] or ["x"]
        choices = ("nowhere", self.pick.choice(others), f"{self.pick.choice(others)},nowhere", "")
        row[column] = self.pick.choice(choices)

    def again(self) -> None:
        """Send a row twice, or one that differs under the same id."""
        file = self._file()
        row = dict(self.pick.choice(self.rows[file]))
        self.rows[file].append(row)
        if self.pick.random() < 0.5:
            self.value()

    def second_of_one(self) -> None:
        """Give a class a second leading teacher, a person a second first role, a contact no id of its own."""
        ways = [
            (file, name, value)
            for file, name, value in (
                ("enrollments.csv", "primary", "true"),
                ("roles.csv", "roleType", "primary"),
                ("students.csv", "Contact_sis_id", ""),
            )
            if any(row.get(name) for row in self.rows.get(file, ()))
        ]
        if not ways:
            return
        file, name, value = self.pick.choice(ways)
        row = dict(self.pick.choice([row for row in self.rows[file] if row.get(name)]))
        self.rows[file].append({**row, name: value, **({"sourcedId": "second"} if "sourcedId" in row else {})})

    def lose(self) -> None:
        file = self._file()
        if len(self.rows[file]) > 1:
            self.rows[file].remove(self.pick.choice(self.rows[file]))

    def swap(self) -> None:
        """Give two rows each other's value of a column."""
        file = self._file()
        name = self.pick.choice(header(self.spec, file))
        one, other = self.pick.choice(self.rows[file]), self.pick.choice(self.rows[file])
        one[name], other[name] = other[name], one[name]


def spoiled_files(spec: str, rows: Rows, seed: int) -> Files:
    """The rows as files, with at most one defect of the files themselves."""
    pick = random.Random(seed)
    files = as_files(spec, rows)
    ways: tuple[Callable[[str, Rows, Files, random.Random], None], ...] = (
        *(_nothing,) * 3,
        *(_field_too_many, _field_too_few, _column_lost, _column_added, _columns_moved, _file_lost, _unnamed),
    )
    pick.choice(ways)(spec, rows, files, pick)
    return files


def _nothing(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    pass


def _csv(pick: random.Random, rows: Rows) -> str:
    return pick.choice([file for file, content in rows.items() if content])


def _change_line(files: Files, file: str, pick: random.Random, change: Callable[[bytes], bytes]) -> None:
    lines = files[file].split(b"\r\n")
    n = pick.randrange(1, len(lines) - 1)
    lines[n] = change(lines[n])
    files[file] = b"\r\n".join(lines)


def _field_too_many(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    _change_line(files, _csv(pick, rows), pick, lambda line: line + b",more")


def _field_too_few(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    _change_line(files, _csv(pick, rows), pick, lambda line: b",".join(line.split(b",")[:2]))


def _column_lost(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    file = _csv(pick, rows)
    names = header(spec, file)
    names.remove(pick.choice(names))
    files[file] = as_csv(names, rows[file])


def _column_added(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    file = _csv(pick, rows)
    own = "metadata.own" if spec != "clever" else "ext.own"
    files[file] = as_csv([*header(spec, file), pick.choice(("shoeSize", own))], rows[file])


def _columns_moved(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    file = _csv(pick, rows)
    names = header(spec, file)
    pick.shuffle(names)
    files[file] = as_csv(names, rows[file])


def _file_lost(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    del files[_csv(pick, rows)]


def _unnamed(spec: str, rows: Rows, files: Files, pick: random.Random) -> None:
    """The manifest leaves a file out, or says that it is absent."""
    if spec == "clever":
        return
    file = _csv(pick, rows).removesuffix(".csv")
    modes = {name.removesuffix(".csv"): "bulk" for name in files if name != "manifest.csv"}
    files["manifest.csv"] = manifest(spec, {**modes, file: "absent"})
    if pick.random() < 0.5:
        files["manifest.csv"] = files["manifest.csv"].replace(f"file.{file},absent\r\n".encode(), b"")
