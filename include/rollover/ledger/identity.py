"""Who runs a command: the database login of the session, which the caller cannot set.

Each person has a login of their own, a member of ``rollover_person``. `SET ROLE` does not change ``session_user``, the
environment has no say in it, and the database refuses what such a session signs in another name. The workers' login,
the owner and superusers are shared: nobody knows who is behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Connection, Engine, text

from rollover.database.session import APP_ROLE, driver_of
from rollover.errors import Refused

PERSONS = "rollover_person"
"""The role whose members are personal logins."""

CALLER = "SELECT session_user::text AS name, ledger.is_person() AS is_person"
MEMBERS = """
    SELECT m.rolname FROM pg_auth_members a
    JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
    WHERE g.rolname = :persons AND m.rolcanlogin ORDER BY 1
"""


@dataclass(frozen=True)
class Caller:
    """The login of a session, and whether it belongs to one person."""

    name: str
    is_person: bool

    def __str__(self) -> str:
        return self.name if self.is_person else f"the shared login {self.name}"


def caller(engine: Engine) -> Caller:
    """The login that `engine` connects as."""
    with engine.connect() as connection:
        if connection.scalar(text("SELECT NOT has_schema_privilege(session_user, 'ledger', 'USAGE')")):
            connection.execute(text(f"SET LOCAL ROLE {APP_ROLE}"))  # which has it; session_user stays what it is
        row = connection.execute(text(CALLER)).one()
    return Caller(row.name, bool(row.is_person))


def person(engine: Engine) -> str:
    """The name of the person who runs a command. Raises Refused for a login that is not one person's."""
    found = caller(engine)
    if not found.is_person:
        raise Refused(
            f"The database login '{found.name}' is shared, so nobody would know who did this.",
            "set ROLLOVER_DATABASE_URL to your own login; the owner of the database makes one: "
            "rollover person add NAME.",
        )
    return found.name


def is_same(one: str, other: str) -> bool:
    """Whether two names are one person's: as a database login and as a user of Airflow a person has the same name."""
    return one.casefold() == other.casefold()


def add_person(connection: Connection, name: str, password: str | None) -> None:
    """Create a personal login, or make one of a login that is there. Needs the right to create roles.

    Without a password the server's own rules (peer, certificate, LDAP) say how the person logs in.
    """
    driver = driver_of(connection)
    known = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name})
    verb = "ALTER" if known else "CREATE"
    secret = sql.SQL(" PASSWORD {}").format(password) if password else sql.SQL("")
    driver.execute(sql.SQL(verb + " ROLE {} LOGIN NOINHERIT").format(sql.Identifier(name)) + secret)
    driver.execute(sql.SQL("GRANT {}, {} TO {}").format(*map(sql.Identifier, (APP_ROLE, PERSONS, name))))


def remove_person(connection: Connection, name: str) -> None:
    """End a personal login: it can no longer log in, and its name stays on what it signed.

    Raises Refused for any other login.
    """
    if name not in persons(connection):
        raise Refused(f"'{name}' is not a personal login.", "rollover person list shows those there are.")
    driver = driver_of(connection)
    driver.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
    driver.execute(sql.SQL("REVOKE {}, {} FROM {}").format(*map(sql.Identifier, (APP_ROLE, PERSONS, name))))


def persons(connection: Connection) -> list[str]:
    """The names of all personal logins."""
    return list(connection.scalars(text(MEMBERS), {"persons": PERSONS}))
