"""Types what the pages need from their host: who asks, with which rights, and how a question is answered.

`rollover.adapter.pages` gives them Airflow's; the tests give them their own.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from upath import UPath

from rollover.archive.keys import Keys
from rollover.config import Catalog
from rollover.errors import RolloverError
from rollover.season.facts import OpenQuestion
from rollover.tenant import Tenant

log = logging.getLogger(__name__)

KEPT_CONNECTIONS = 5
"""So many connections to the product database stay open for the next request."""


class Right(StrEnum):
    """The rights that a person can have about a tenant. docs/pages.md says what each is in Airflow."""

    READ = "read"
    DECIDE = "decide"
    DOWNLOAD = "download"
    """Files with personal data."""
    HOLD = "hold"


class Visitor(ABC):
    """The person who asks. A right that cannot be looked up is one that the person does not have."""

    @property
    @abstractmethod
    def id(self) -> str:
        """The id that the evidence names."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that pages show to the person."""

    @abstractmethod
    def look_up(self, tenants: Collection[Tenant], right: Right) -> Iterable[Tenant]:
        """Those of `tenants` about which the person has a right. May raise anything."""

    def allowed(self, tenants: Collection[Tenant], right: Right) -> frozenset[Tenant]:
        """Those of `tenants` about which the person has a right; none if that cannot be found out."""
        try:
            return frozenset(self.look_up(tenants, right)) & frozenset(tenants)
        except Exception as error:  # whatever is wrong with the authorization, it allows nothing
            log.error("the authorization cannot be read, so everything is denied: %s", type(error).__name__)
            return frozenset()

    def may(self, tenant: Tenant, right: Right) -> bool:
        """Whether the person has a right about a tenant."""
        return tenant in self.allowed([tenant], right)


class NotAnswered(RolloverError):
    """A question was not answered. The message says why, without a personal value."""


@dataclass(frozen=True)
class Host:
    """What surrounds the pages."""

    visitor: Callable[..., Any]
    """A FastAPI dependency that returns the `Visitor`, or raises 401 or 403 if nobody is logged in."""
    engine: Callable[[], Engine]
    catalog: Callable[[], Catalog]
    answer: Callable[[Visitor, OpenQuestion, Sequence[str], str], None]
    """Answers a question with options and a reason. Raises NotAnswered."""
    answered_by: Callable[[Sequence[OpenQuestion]], Mapping[int, str]]
    """Of questions that the ledger has as open, who has answered them since, by the question's id."""
    text_of: Callable[[OpenQuestion], str | None]
    """The Markdown that is shown with a question in Required Actions; None if it is not asked any more."""
    secret: Callable[[], str]
    """Signs the tokens of forms. The same in every process of the host."""
    clock: Callable[[], datetime]
    districts: Path
    """The folder of the district files."""
    storage: UPath
    keys: Keys
    """The keys that archived files are encrypted with."""
    backup_days: int | None
    """How many days backups of the product database are kept, if anybody has said so."""
