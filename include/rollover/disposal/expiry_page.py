"""Writes the question about an archived year past its retention. The words are in ``texts/archive_expiry.md.j2``."""

from __future__ import annotations

from sqlalchemy import Connection, select

from rollover.archive import manifest as manifests
from rollover.database.tables.directory import schools
from rollover.ledger.disposal_plans import Content
from rollover.run import Run
from rollover.texts import render


def question(run: Run, content: Content) -> str:
    """Return the question in one line."""
    return render(
        "archive_expiry_question.txt.j2",
        district=run.district.name,
        product=run.product.label,
        school_year=str(run.school_year),
        rows=content["rows"],
    )


def markdown(connection: Connection, run: Run, content: Content) -> str:
    """Return the plan as a person reads it before approving: what is erased, why, and what is not reached."""
    names = {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}
    without_receipt = [file["path"] for file in content["files"] if file["sha256"] is None]
    return render(
        "archive_expiry.md.j2",
        district=run.district.name,
        product=run.product.name,
        school_year=str(run.school_year),
        content=content,
        names=names,
        bytes=sum(file["bytes"] for file in content["files"]),
        unknown_files=len([path for path in without_receipt if not path.startswith(manifests.STEM)]),
    )
