"""Who can be reached, and how: the contacts of the district files, our own roles' addresses, and the chats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rollover.config import District
from rollover.notify.kinds import Role

MAIL, CHAT = "mail", "chat"


@dataclass(frozen=True)
class Addressee:
    """One who gets a mail. Neither is ever written to a log, an XCom or the ledger."""

    email: str = field(repr=False)
    name: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Addresses:
    """The channels that are configured: mail, with our own roles' addresses, and the roles that have a chat."""

    mail: bool = True
    team: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    chat: frozenset[str] = frozenset()

    def of(self, district: District, role: Role) -> tuple[Addressee, ...]:
        """The addressees of a role: those of the district file; of our own roles, if it names none, the setting's."""
        named = tuple(Addressee(each.email, each.name) for each in district.contacts if each.role == role)
        if named or not role.is_ours:
            return named
        return tuple(Addressee(email) for email in self.team.get(role, ()))

    def ways(self, district: District, roles: tuple[Role, ...]) -> Iterator[tuple[Role, str]]:
        """The roles that are reached, each with its channel.

        A district whose file names nobody for a notice that it should get is not skipped in silence: the notice to its
        IT is due, and cannot be sent.
        """
        if self.mail:
            reached = [role for role in roles if self.of(district, role)]
            if Role.DISTRICT_IT in roles and all(role.is_ours for role in reached):
                reached.insert(0, Role.DISTRICT_IT)
            yield from ((role, MAIL) for role in reached)
        yield from ((role, CHAT) for role in roles if role.is_ours and role in self.chat)
