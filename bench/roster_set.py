"""A OneRoster 1.1 bulk set of a large district, made up from a seed: the same arguments give the same bytes.

``python -m bench.roster_set FOLDER --students 100000`` writes about 1.14 million rows: students with their guardians,
staff, birth dates and the like, orgs, sessions, courses, classes and enrollments. Nothing in it is of a real person.
With ``--changed 0.02`` it is the set of some weeks later, in which 2% of the rows differ from the one without:
families have come and gone, sections were closed and opened with their students moved, values corrected.

Both keep every rule of OneRoster 1.1. Ids are of the kinds that student information systems write (GUIDs for people,
numbers for sections and enrollments) and in no order; a column without a value is empty. Rows are made in batches, from
a hash of their number alone, so that memory does not grow with the size.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from bench.roster_files import ENDS, FILES, MANIFEST, ORG, RACES

BATCH = 24_000

OTHER_FILES = ("categories", "classResources", "courseResources", "lineItems", "resources", "results")

WHOLE_YEAR, FALL, SPRING = f"{ENDS}-Y", f"{ENDS}-S1", f"{ENDS}-S2"
BEGINS, TURNS, OVER = f"{ENDS - 1}-08-13", f"{ENDS}-01-08", f"{ENDS}-06-05"
MOVED = f"{ENDS - 1}-10-06"
SESSIONS = (
    (WHOLE_YEAR, f"{ENDS - 1}-{ENDS} School Year", "schoolYear", BEGINS, OVER, None),
    (FALL, "Fall Semester", "semester", BEGINS, TURNS, WHOLE_YEAR),
    (SPRING, "Spring Semester", "semester", TURNS, OVER, WHOLE_YEAR),
    (f"{ENDS}-Q1", "Quarter 1", "gradingPeriod", BEGINS, f"{ENDS - 1}-10-18", FALL),
    (f"{ENDS}-Q2", "Quarter 2", "gradingPeriod", f"{ENDS - 1}-10-18", TURNS, FALL),
    (f"{ENDS}-Q3", "Quarter 3", "gradingPeriod", TURNS, f"{ENDS}-03-20", SPRING),
    (f"{ENDS}-Q4", "Quarter 4", "gradingPeriod", f"{ENDS}-03-20", OVER, SPRING),
)

GRADES = ("KG", *(f"{grade:02d}" for grade in range(1, 13)))
ELEMENTARY, MIDDLE, HIGH = range(3)
LEVEL_OF_GRADE = np.array([ELEMENTARY] * 6 + [MIDDLE] * 3 + [HIGH] * 4)
SUBJECTS = (
    ("Homeroom", "Reading", "Writing", "Mathematics", "Science", "Social Studies", "Physical Education"),
    ("English", "Mathematics", "Science", "Social Studies", "Physical Education", "Art", "Music", "Advisory"),
    (
        *("English", "Mathematics", "Science", "History", "World Language", "Physical Education", "Fine Arts"),
        *("Career Education", "Health"),
    ),
)
SUBJECT_CODES = ("22", "01", "01", "02", "03", "04", "08", "05", "09")
SLOTS = np.array([len(subjects) for subjects in SUBJECTS])
ONE_SEMESTER = 7
"""From this slot on, a high school's class is taught in one semester only."""

# Where two elementary schools feed one middle and one high school.
SCHOOLS_PER_ZONE = 4
STUDENTS_PER_ZONE = 2_500
STUDENTS_PER_SECTION = 24
STUDENTS_PER_TEACHER = 16
MOST_SECTIONS = 60

# Eight students of five families with seven guardians, over and over.
FAMILY_SIZES = np.array([1, 2, 1, 3, 1])
FAMILY_GUARDIANS = np.array([2, 1, 1, 1, 2])
STUDENTS_PER_BLOCK, GUARDIANS_PER_BLOCK = int(FAMILY_SIZES.sum()), int(FAMILY_GUARDIANS.sum())
FAMILIES_PER_BLOCK = len(FAMILY_SIZES)
FAMILY_OF_STUDENT = np.repeat(np.arange(FAMILIES_PER_BLOCK), FAMILY_SIZES)
FAMILY_OF_GUARDIAN = np.repeat(np.arange(FAMILIES_PER_BLOCK), FAMILY_GUARDIANS)
FIRST_STUDENT = np.cumsum(FAMILY_SIZES) - FAMILY_SIZES
FIRST_GUARDIAN = np.cumsum(FAMILY_GUARDIANS) - FAMILY_GUARDIANS

_GIVEN_NAMES = (
    "Aaliyah Abigail Adrian Aiden Alejandro Alexander Alyssa Amelia Andrea Angel Anthony Ava Benjamin Brianna Caleb "
    "Camila Carlos Charlotte Christopher Daniel David Dominic Elijah Emily Emmanuel Ethan Evelyn Gabriel Gianna Grace "
    "Hannah Harper Isabella Isaiah Jacob James Jasmine Jayden Jesús Jonathan José Joshua Julian Kayla Kevin Leah Liam "
    "Lucía Madison Mateo Matthew Maya Mia Michael Mohammed Natalie Nathaniel Nevaeh Noah Olivia Priya Samantha "
    "Sebastián Sofia Tyler Valentina Victoria William Xavier Zoë"
)
_FAMILY_NAMES = (
    "Adams,Alvarez,Anderson,Bailey,Begay,Brown,Campbell,Carter,Castillo,Chen,Clark,Coleman,Collins,Cruz,Davis,"
    "De la Cruz,Díaz,Edwards,Evans,Flores,Foster,Garcia,Gomez,Gonzalez,Gutiérrez,Hall,Harris,Hernandez,Hill,Hughes,"
    "Jackson,Jenkins,Johnson,Jones,Kelly,Kim,King,Lee,Lewis,Lopez,Martin,Martinez,McDonald,Mendoza,Miller,Mitchell,Moore,"
    "Morales,Muñoz,Murphy,Nelson,Nguyen,O'Brien,Ortiz,Parker,Patel,Peña,Perez,Peterson,Phillips,Ramirez,Reed,Reyes,"
    "Richardson,Rivera,Robinson,Rodriguez,Ross,Ruiz,Sanchez,Sanders,Scott,Singh,Smith,St. James,Stewart,Taylor,Thomas,"
    "Thompson,Torres,Tran,Turner,Walker,Ward,Washington,White,Williams,Wilson,Wood,Wright,Young"
)
GIVEN_NAMES, FAMILY_NAMES = _GIVEN_NAMES.split(), _FAMILY_NAMES.split(",")

Numbers = np.ndarray


@dataclass(frozen=True)
class RosterSet:
    """A district's set. Students, guardians, staff, classes and enrollments are numbered, and a number makes a row."""

    students: int = 100_000
    changed: float = 0.0
    """The share of rows that differ from the set with 0."""
    seed: int = 1

    def write(self, folder: Path) -> dict[str, int]:
        """Write the files, replacing older ones of their names; return the rows of each."""
        folder.mkdir(parents=True, exist_ok=True)
        batches: dict[str, Iterable[dict[str, Any]]] = {
            "orgs.csv": [self._orgs()],
            "academicSessions.csv": [_sessions()],
            "courses.csv": [_courses()],
            "classes.csv": self._classes(),
            "users.csv": self._users(),
            "demographics.csv": self._demographics(),
            "enrollments.csv": self._enrollments(),
        }
        rows = {name: _write(folder / name, FILES[name], batches[name]) for name in FILES}
        _write_manifest(folder / MANIFEST)
        return rows

    # Sizes

    @cached_property
    def _blocks(self) -> int:
        """Of eight students each: the last families of the district are whole."""
        return max(-(-self.students // STUDENTS_PER_BLOCK), 1)

    @cached_property
    def _first_block(self) -> int:
        """The first ones have left, and as many have come at the end."""
        if not self.changed:
            return 0
        return max(round(self.students * self.changed / 4 / STUDENTS_PER_BLOCK), 1)

    @cached_property
    def _zones(self) -> int:
        return max(self.students // STUDENTS_PER_ZONE, 1)

    @cached_property
    def _sections(self) -> Numbers:
        """How many sections of a course a school has in a grade, by level."""
        a_grade = self.students / self._zones / len(GRADES)
        of_a_level = np.array([a_grade / 2, a_grade, a_grade]) / STUDENTS_PER_SECTION
        return np.clip(of_a_level.round(), 1, MOST_SECTIONS).astype(np.int64)

    @cached_property
    def _teachers(self) -> int:
        """Of a school."""
        return max(round(self.students / STUDENTS_PER_TEACHER / (self._zones * SCHOOLS_PER_ZONE)), 1)

    def _students(self) -> Iterator[Numbers]:
        return _ranges(self._first_block * STUDENTS_PER_BLOCK, self._blocks * STUDENTS_PER_BLOCK)

    def _guardians(self) -> Iterator[Numbers]:
        return _ranges(self._first_block * GUARDIANS_PER_BLOCK, self._blocks * GUARDIANS_PER_BLOCK)

    # Chance: everything comes from here

    def _hash(self, what: str, numbers: Numbers) -> Numbers:
        """64 bits that depend on the seed, on what they are for and on each number (splitmix64)."""
        start = np.uint64((zlib.crc32(what.encode()) << 32) + self.seed)
        with np.errstate(over="ignore"):
            z = (numbers.astype(np.uint64) + start) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def _one_of(self, what: str, numbers: Numbers, count: Numbers | int) -> Numbers:
        return (self._hash(what, numbers) % np.asarray(count).astype(np.uint64)).astype(np.int64)

    def _share(self, what: str, numbers: Numbers) -> Numbers:
        """Evenly between 0 and 1."""
        return (self._hash(what, numbers) >> np.uint64(11)) * 2.0**-53

    def _is_changed(self, what: str, numbers: Numbers, part: float = 0.5) -> Numbers:
        """Corrections are a part of the changes; the rest are rows that came and went."""
        return self._share(f"changed {what}", numbers) < self.changed * part

    def _picked(self, what: str, numbers: Numbers, values: Iterable[str]) -> pl.Series:
        pool = pl.Series(list(values), dtype=pl.String)
        return pool.gather(self._one_of(what, numbers, len(pool)))

    # Ids

    def _guids(self, what: str, numbers: Numbers) -> pl.Series:
        words = np.stack([self._hash(f"{what} {half}", numbers) for half in (1, 2)], axis=1)
        digits = _HEX[words.astype(">u8").view(np.uint8)].reshape(-1, 32)
        text = np.full((len(numbers), 36), ord("-"), np.uint8)
        text[:, _GUID_DIGITS] = digits
        return _texts(text)

    def _scrambled(self, what: str, numbers: Numbers, bits: int = 32) -> pl.Series:
        """Each number of so many bits as another one, in text, no two alike (a Feistel network)."""
        half = np.uint64(bits // 2)
        mask = (np.uint64(1) << half) - np.uint64(1)
        left, right = numbers.astype(np.uint64) >> half, numbers.astype(np.uint64) & mask
        for turn in range(4):
            left, right = right, left ^ (self._hash(f"{what} {turn}", right) & mask)
        return pl.Series((left << half) | right).cast(pl.String)

    def _class_ids(self, classes: Numbers) -> pl.Series:
        return self._scrambled("class", classes)

    def _enrollment_ids(self, enrollments: Numbers) -> pl.Series:
        return self._scrambled("enrollment", enrollments).str.zfill(10)

    def _school_ids(self, schools: Numbers) -> pl.Series:
        return self._scrambled("school", schools, bits=24).str.zfill(8)

    # People and where they belong

    def _grades(self, students: Numbers) -> Numbers:
        return self._one_of("grade", students, len(GRADES))

    def _schools(self, students: Numbers) -> Numbers:
        """A family lives in one zone; each child goes to the zone's school of its level."""
        families = _families(students)
        level = LEVEL_OF_GRADE[self._grades(students)]
        elementary = self._one_of("elementary school", families, 2)
        return self._one_of("zone", families, self._zones) * SCHOOLS_PER_ZONE + np.where(
            level == ELEMENTARY, elementary, level + 1
        )

    def _staff(self) -> Iterator[Numbers]:
        """The number of a member of staff is school * (teachers + 1) + place; place 0 is the administrator."""
        return _ranges(0, self._zones * SCHOOLS_PER_ZONE * (self._teachers + 1))

    # Rows

    def _orgs(self) -> dict[str, Any]:
        schools = np.arange(self._zones * SCHOOLS_PER_ZONE)
        kinds = pl.Series(["Elementary School", "Elementary School", "Middle School", "High School"])
        names = self._picked("school", schools, FAMILY_NAMES)
        titles = names + pl.Series([f" {n // SCHOOLS_PER_ZONE + 1} " for n in schools])
        titles += kinds.gather(schools % SCHOOLS_PER_ZONE)
        return {
            "sourcedId": pl.concat([pl.Series([ORG]), self._school_ids(schools)]),
            "name": pl.concat([pl.Series(["Large Unified School District"]), titles]),
            "type": ["district"] + ["school"] * len(schools),
            "identifier": [ORG] + [f"{ORG}{n:05d}" for n in schools],
            "parentSourcedId": [None] + [ORG] * len(schools),
        }

    def _users(self) -> Iterator[dict[str, Any]]:
        for numbers in self._students():
            yield self._student_users(numbers)
        for numbers in self._guardians():
            yield self._guardian_users(numbers)
        for numbers in self._staff():
            yield self._staff_users(numbers)

    def _person(self, kind: str, numbers: Numbers, families: Numbers, domain: str) -> dict[str, Any]:
        """What a user of any role has."""
        changed = self._is_changed(kind, numbers)
        given = self._picked(f"{kind} given", numbers, GIVEN_NAMES)
        first, second = (self._picked(f"family {n}", families, FAMILY_NAMES) for n in (1, 2))
        double = pl.Series((self._share("double", families) < 0.08) | (changed & (numbers % 8 == 0)))
        number = self._scrambled("login", numbers * len(KINDS) + KINDS.index(kind), bits=28)
        people = pl.DataFrame({"given": given, "first": first, "second": second, "double": double, "number": number})
        middle = self._picked(f"{kind} middle", numbers, GIVEN_NAMES)
        sent = self._share(f"{kind} e-mail", numbers) < 0.9
        return {
            "sourcedId": self._guids(kind, numbers),
            "enabledUser": "true",
            "givenName": given,
            "familyName": people.select(
                pl.when("double").then(pl.format("{}-{}", "first", "second")).otherwise("first")
            ).to_series(),
            "middleName": _where(self._share(f"{kind} has middle", numbers) < 0.45, middle),
            **_login(people, domain, sent | changed, changed),
        }

    def _student_users(self, students: Numbers) -> dict[str, Any]:
        families = _families(students)
        number = self._scrambled("student number", students, bits=26).str.zfill(8)
        block, place = np.divmod(families, FAMILIES_PER_BLOCK)
        guardians = block * GUARDIANS_PER_BLOCK + FIRST_GUARDIAN[place]
        second = _where(FAMILY_GUARDIANS[place] > 1, self._guids("guardian", guardians + 1))
        return {
            **self._person("student", students, families, "students.example.org"),
            "orgSourcedIds": self._school_ids(self._schools(students)),
            "role": "student",
            "userIds": "{SIS:" + number + "}",
            "identifier": number,
            "agentSourcedIds": _listed([self._guids("guardian", guardians), second]),
            "grades": pl.Series(GRADES).gather(self._grades(students)),
        }

    def _guardian_users(self, guardians: Numbers) -> dict[str, Any]:
        block, place = np.divmod(guardians, GUARDIANS_PER_BLOCK)
        place = FAMILY_OF_GUARDIAN[place]
        first = block * STUDENTS_PER_BLOCK + FIRST_STUDENT[place]
        children, schools = [], []
        for n in range(int(FAMILY_SIZES.max())):
            there = FAMILY_SIZES[place] > n
            school = self._schools(first + n)
            for earlier in range(n):
                school = np.where(school == self._schools(first + earlier), -1, school)
            children.append(_where(there, self._guids("student", first + n)))
            schools.append(_where(there & (school >= 0), self._school_ids(school)))
        families = block * FAMILIES_PER_BLOCK + place
        phone = pl.Series(self._one_of("phone", guardians, 10_000)).cast(pl.String).str.zfill(4)
        phone = "+1 406 555 " + phone
        return {
            **self._person("guardian", guardians, families, "example.com"),
            "orgSourcedIds": _listed(schools),
            "role": self._picked("guardian role", guardians, ("parent", "parent", "guardian")),
            "sms": _where(self._share("sms", guardians) < 0.4, phone),
            "phone": _where(self._share("has phone", guardians) < 0.95, phone),
            "agentSourcedIds": _listed(children),
        }

    def _staff_users(self, staff: Numbers) -> dict[str, Any]:
        school, place = np.divmod(staff, self._teachers + 1)
        return {
            **self._person("staff", staff, staff + 2**40, "staff.example.org"),
            "orgSourcedIds": self._school_ids(school),
            "role": _chosen(place == 0, "administrator", "teacher"),
            "identifier": self._scrambled("staff number", staff, bits=20).str.zfill(7),
        }

    def _demographics(self) -> Iterator[dict[str, Any]]:
        for students in self._students():
            flags = {name: self._share(name, students) for name in RACES}
            yield {
                "sourcedId": self._guids("student", students),
                "birthDate": self._birth_dates(students),
                "sex": _where(self._share("sex told", students) < 0.98, self._picked("sex", students, SEXES)),
                **{name: _chosen(share < 0.2, "true", "false") for name, share in flags.items()},
                "countryOfBirthCode": _where(self._share("country", students) < 0.5, _same("US", students)),
                "stateOfBirthAbbreviation": _where(self._share("state", students) < 0.3, _same("MT", students)),
            }

    def _birth_dates(self, students: Numbers) -> pl.Series:
        """From the September six years before the kindergarten year's, one year earlier for each grade."""
        first = (ENDS - 7 - self._grades(students) - 1970).astype("datetime64[Y]") + np.timedelta64(8, "M")
        days = self._one_of("birthday", students, 365)
        return pl.Series(first.astype("datetime64[D]") + days).cast(pl.Date).cast(pl.String)

    def _classes(self) -> Iterator[dict[str, Any]]:
        for classes in self._class_numbers():
            group, _ = np.divmod(classes, 2**6)
            school_and_grade, slot = np.divmod(group, 2**4)
            school, grade = np.divmod(school_and_grade, len(GRADES))
            level = LEVEL_OF_GRADE[grade]
            place = level * 2**4 + slot
            section = pl.Series(classes % 2**6 + 1).cast(pl.String)
            room = self._one_of("room", classes, 180) + 100 + 200 * self._is_changed("class", classes)
            subject = pl.Series(_SUBJECTS_BY_PLACE).gather(place)
            homeroom = (level == ELEMENTARY) & (slot == 0)
            grades = pl.Series(GRADES).gather(grade)
            yield {
                "sourcedId": self._class_ids(classes),
                "title": subject + " " + grades + " - Section " + section,
                "grades": grades,
                "courseSourcedId": _course_ids(grade, slot),
                "classCode": pl.Series(_COURSE_CODES).gather(slot) + grades + "-" + section.str.zfill(3),
                "classType": _chosen(homeroom, "homeroom", "scheduled"),
                "location": "Room " + pl.Series(room).cast(pl.String),
                "schoolSourcedId": self._school_ids(school),
                "termSourcedIds": _by_term(classes, (f"{FALL},{SPRING}", FALL, SPRING)),
                "subjects": subject,
                "subjectCodes": pl.Series(SUBJECT_CODES).gather(slot),
                "periods": pl.Series(slot + 1).cast(pl.String),
            }

    def _class_numbers(self) -> Iterator[Numbers]:
        """((school * grades + grade) * 16 + slot) * 64 + section, of every class that there is."""
        for schools in _ranges(0, self._zones * SCHOOLS_PER_ZONE, batch=40):
            grade = np.arange(len(GRADES))
            level = LEVEL_OF_GRADE[grade]
            kind = schools % SCHOOLS_PER_ZONE
            taught = np.where(kind[:, None] < 2, 0, kind[:, None] - 1) == level[None, :]
            school, grade = np.nonzero(taught)
            school += schools[0]
            slots = SLOTS[LEVEL_OF_GRADE[grade]]
            group = np.repeat((school * len(GRADES) + grade) * 2**4, slots) + _counted(slots)
            sections = self._sections[_levels(group)] - self._is_closed(group) + self._is_opened(group)
            yield np.repeat(group * 2**6, sections) + _counted(sections)

    def _change_of_sections(self, groups: Numbers) -> tuple[Numbers, Numbers]:
        """Chance, and how far it must reach for a sixteenth of the changed share of all classes."""
        return self._share("sections", groups), self._sections[_levels(groups)] * self.changed / 16

    def _is_closed(self, groups: Numbers) -> Numbers:
        """The last section was closed, where there is another."""
        share, reach = self._change_of_sections(groups)
        closed: Numbers = (share < reach) & (self._sections[_levels(groups)] > 1)
        return closed

    def _is_opened(self, groups: Numbers) -> Numbers:
        share, reach = self._change_of_sections(groups)
        return (share >= reach) & (share < 2 * reach)

    def _enrollments(self) -> Iterator[dict[str, Any]]:
        for students in self._students():
            yield self._student_enrollments(students)
        for classes in self._class_numbers():
            yield self._teacher_enrollments(classes)

    def _student_enrollments(self, students: Numbers) -> dict[str, Any]:
        grade, school = self._grades(students), self._schools(students)
        slots = SLOTS[LEVEL_OF_GRADE[grade]]
        student, slot = np.repeat(students, slots), _counted(slots)
        group = np.repeat((school * len(GRADES) + grade) * 2**4, slots) + slot
        section, moved = self._section(student, slot, group)
        classes = group * 2**6 + section
        number = ((student * 2**4 + slot) << 1) + moved
        begins = _by_term(classes, (BEGINS, BEGINS, TURNS))
        late = moved | self._is_changed("enrollment", number, part=0.35)
        return {
            "sourcedId": self._enrollment_ids(number),
            "classSourcedId": self._class_ids(classes),
            "schoolSourcedId": self._school_ids(np.repeat(school, slots)),
            "userSourcedId": self._guids("student", students).gather(np.repeat(np.arange(len(students)), slots)),
            "role": "student",
            "beginDate": _chosen(late & (begins == BEGINS).to_numpy(), MOVED, begins),
            "endDate": _chosen(late & (begins == TURNS).to_numpy(), f"{ENDS}-05-29", _term_ends(classes)),
        }

    def _section(self, student: Numbers, slot: Numbers, group: Numbers) -> tuple[Numbers, Numbers]:
        """Which section a student sits in, and whether it is another than in the set before."""
        level = _levels(group)
        sections = self._sections[level]
        # In an elementary school, a class stays together all day.
        seat = np.where(level == ELEMENTARY, student * 2**4, student * 2**4 + slot)
        section = self._one_of("section", seat, sections)
        closed = self._is_closed(group) & (section == sections - 1)
        opened = self._is_opened(group) & (self._one_of("opened", student * 2**4 + slot, sections + 1) == 0)
        other = self._one_of("instead", student * 2**4 + slot, np.maximum(sections - 1, 1))
        return np.select([closed, opened], [other, sections], section), closed | opened

    def _teacher_enrollments(self, classes: Numbers) -> dict[str, Any]:
        group, section = np.divmod(classes, 2**6)
        school_and_grade = group // 2**4
        # An elementary class has one teacher for all subjects.
        taught = np.where(_levels(group) == ELEMENTARY, school_and_grade * 2**6 + section + 2**40, classes)
        school = school_and_grade // len(GRADES)
        teacher = school * (self._teachers + 1) + 1 + self._one_of("teacher", taught, self._teachers)
        return {
            "sourcedId": self._enrollment_ids(classes + 2**31),
            "classSourcedId": self._class_ids(classes),
            "schoolSourcedId": self._school_ids(school),
            "userSourcedId": self._guids("staff", teacher),
            "role": "teacher",
            "primary": "true",
            "beginDate": _by_term(classes, (BEGINS, BEGINS, TURNS)),
            "endDate": _term_ends(classes),
        }


KINDS = ("student", "guardian", "staff")
SEXES = ("female", "male")
_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
_GUID_DIGITS = [place for place in range(36) if place not in (8, 13, 18, 23)]
_SUBJECTS_BY_PLACE = [subjects[slot] if slot < len(subjects) else "" for subjects in SUBJECTS for slot in range(2**4)]
_COURSE_CODES = ("HR", "RD", "WR", "MA", "SC", "SS", "PE", "AR", "EL")


def _ranges(first: int, count: int, *, batch: int = BATCH) -> Iterator[Numbers]:
    for start in range(first, first + count, batch):
        yield np.arange(start, min(start + batch, first + count), dtype=np.int64)


def _counted(counts: Numbers) -> Numbers:
    """0, 1, … of each count, one after the other: what np.repeat needs beside it."""
    counted: Numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return counted


def _families(students: Numbers) -> Numbers:
    block, place = np.divmod(students, STUDENTS_PER_BLOCK)
    families: Numbers = block * FAMILIES_PER_BLOCK + FAMILY_OF_STUDENT[place]
    return families


def _levels(groups: Numbers) -> Numbers:
    levels: Numbers = LEVEL_OF_GRADE[(groups // 2**4) % len(GRADES)]
    return levels


def _texts(characters: Numbers) -> pl.Series:
    """One text per line of a table of bytes."""
    count, width = characters.shape
    offsets = pa.py_buffer(np.arange(count + 1, dtype=np.int64) * width)
    array = pa.LargeStringArray.from_buffers(count, offsets, pa.py_buffer(np.ascontiguousarray(characters)))
    return pl.Series(pl.from_arrow(array))


def _same(value: str, numbers: Numbers) -> pl.Series:
    return pl.Series([value]).new_from_index(0, len(numbers))


def _where(condition: Numbers, values: pl.Series) -> pl.Series:
    """The values where the condition holds, else nothing."""
    return _chosen(condition, values, None)


def _chosen(condition: Numbers, yes: pl.Series | str, no: pl.Series | str | None) -> pl.Series:
    literals = [pl.lit(value) if isinstance(value, str) or value is None else value for value in (yes, no)]
    return pl.select(pl.when(pl.Series(condition)).then(literals[0]).otherwise(literals[1])).to_series()


def _listed(values: list[pl.Series]) -> pl.Series:
    """Values side by side as one list, without those that are nothing."""
    return pl.select(pl.concat_str(values, separator=",", ignore_nulls=True)).to_series()


def _login(people: pl.DataFrame, domain: str, sent: Numbers, changed: Numbers) -> dict[str, pl.Series]:
    """A user name that is nobody else's, and an e-mail address in which it stands."""
    plain = pl.concat_str(pl.col("given").str.slice(0, 1), pl.col("first")).str.normalize("NFD").str.to_lowercase()
    username = people.select(pl.format("{}{}", plain.str.replace_all("[^a-z]", ""), "number")).to_series()
    mark = _chosen(changed, ".new", "")
    return {"username": username, "email": _where(sent, username + mark + f"@{domain}")}


def _term_of(classes: Numbers) -> Numbers:
    """0: the whole year; 1: the fall; 2: the spring."""
    group, section = np.divmod(classes, 2**6)
    return np.where((_levels(group) == HIGH) & (group % 2**4 >= ONE_SEMESTER), 1 + section % 2, 0)


def _by_term(classes: Numbers, values: tuple[str, str, str]) -> pl.Series:
    return pl.Series(values).gather(_term_of(classes))


def _term_ends(classes: Numbers) -> pl.Series:
    return _by_term(classes, (OVER, TURNS, OVER))


def _course_ids(grade: Numbers, slot: Numbers) -> pl.Series:
    return "C" + pl.Series(grade * 100 + slot + 10_000).cast(pl.String)


def _sessions() -> dict[str, Any]:
    names = ("sourcedId", "title", "type", "startDate", "endDate", "parentSourcedId")
    columns = dict(zip(names, map(list, zip(*SESSIONS, strict=True)), strict=True))
    return {**columns, "schoolYear": str(ENDS)}


def _courses() -> dict[str, Any]:
    slots = SLOTS[LEVEL_OF_GRADE]
    grade, slot = np.repeat(np.arange(len(GRADES)), slots), _counted(slots)
    subject = pl.Series(_SUBJECTS_BY_PLACE).gather(LEVEL_OF_GRADE[grade] * 2**4 + slot)
    grades = pl.Series(GRADES).gather(grade)
    return {
        "sourcedId": _course_ids(grade, slot),
        "schoolYearSourcedId": WHOLE_YEAR,
        "title": subject + " " + grades,
        "courseCode": pl.Series(_COURSE_CODES).gather(slot) + grades,
        "grades": grades,
        "orgSourcedId": ORG,
        "subjects": subject,
        "subjectCodes": pl.Series(SUBJECT_CODES).gather(slot),
    }


def _write(path: Path, columns: dict[str, str], batches: Iterable[dict[str, Any]]) -> int:
    """One file. A column that a batch does not have is empty; a single value is that of every row."""
    rows = 0
    with path.open("wb") as stream:
        stream.write(f"{','.join(columns)}\r\n".encode())
        for batch in batches:
            given = pl.DataFrame(batch)
            frame = given.select(
                pl.col(name) if name in batch else pl.lit(None, pl.String).alias(name) for name in columns
            )
            frame.write_csv(stream, include_header=False, line_terminator="\r\n")
            rows += frame.height
    return rows


def _write_manifest(path: Path) -> None:
    properties = {"manifest.version": "1.0", "oneroster.version": "1.1"}
    properties |= {f"file.{name.removesuffix('.csv')}": "bulk" for name in FILES}
    properties |= {f"file.{name}": "absent" for name in OTHER_FILES}
    properties |= {"source.systemName": "Made-up SIS", "source.systemCode": "made-up"}
    lines = [
        f"{name},{value}\r\n" for name, value in {"propertyName": "value", **dict(sorted(properties.items()))}.items()
    ]
    path.write_bytes("".join(lines).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--students", type=int, default=RosterSet.students)
    parser.add_argument("--changed", type=float, default=RosterSet.changed, help="share of rows, as 0.02")
    parser.add_argument("--seed", type=int, default=RosterSet.seed)
    given = parser.parse_args()
    rows = RosterSet(given.students, given.changed, given.seed).write(given.folder)
    for name, count in rows.items():
        print(f"{name:25} {count:12,}")
    print(f"{'all':25} {sum(rows.values()):12,}")


if __name__ == "__main__":
    main()
