"""Checks people as the roster has them, whatever their format."""

from __future__ import annotations

from rollover.roster.formats.spec import Rule
from rollover.roster.model import GUARDIAN_ROLES

_WITH_LOGIN = f"username IS NOT NULL AND role NOT IN {GUARDIAN_ROLES}"


def username_twice(column: str) -> Rule:
    """Two people with one username, in whatever case it is written. A guardian's is nobody's login here."""
    return Rule(
        "username_twice",
        "warning",
        column,
        f"{column} is that of another person already. Only one can have an account with it: give each their own.",
        # Hashes are compared faster than texts; two usernames of one hash are distinguished behind.
        f"""WITH twice AS (
                SELECT hash(lower(username)) AS login FROM roster_people WHERE {_WITH_LOGIN}
                GROUP BY 1 HAVING count(*) > 1
            )
            SELECT file, "row" FROM (
                FROM roster_people p SEMI JOIN twice ON twice.login = hash(lower(p.username)) WHERE {_WITH_LOGIN}
            ) QUALIFY row_number() OVER (PARTITION BY lower(username) ORDER BY "row", file) > 1""",
    )
