"""The answers that a person can give about an import in review.

It is a module of its own, so that Airflow imports nothing else with it.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

QUESTION_LASTS = timedelta(hours=20)
"""Less than a day: the question of one night is closed before the next nightly sync asks again."""


class Answer(StrEnum):
    """``Later`` decides nothing: the question comes again."""

    APPROVE = "Approve"
    APPROVE_WITH_ID_MAP = "Approve with id map"
    ADDITIONS_ONLY = "Additions only"
    DISCARD = "Discard"
    LATER = "Later"
