"""The files of a OneRoster 1.1 set that make a roster, as the bench writes them and as plain tables hold them."""

from __future__ import annotations

MANIFEST = "manifest.csv"
ORG = "4100000"
"""The sourcedId of the district's own org."""
ENDS = 2026
"""The year in which the school year ends."""
YEAR = "2025-26"

_STATE = {"status": "text", "dateLastModified": "timestamptz"}
RACES = (
    "americanIndianOrAlaskaNative",
    "asian",
    "blackOrAfricanAmerican",
    "nativeHawaiianOrOtherPacificIslander",
    "white",
    "demographicRaceTwoOrMoreRaces",
    "hispanicOrLatinoEthnicity",
)


def _columns(names: str, **types: str) -> dict[str, str]:
    """Columns in the order of the format, each with the PostgreSQL type that holds its values."""
    given = {name: types.get(name, "text") for name in names.split()}
    return {"sourcedId": "text", **_STATE, **given}


FILES: dict[str, dict[str, str]] = {
    "orgs.csv": _columns("name type identifier parentSourcedId"),
    "academicSessions.csv": _columns(
        "title type startDate endDate parentSourcedId schoolYear",
        startDate="date",
        endDate="date",
        schoolYear="integer",
    ),
    "courses.csv": _columns("schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes"),
    "classes.csv": _columns(
        "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects "
        "subjectCodes periods"
    ),
    "users.csv": _columns(
        "enabledUser orgSourcedIds role username userIds givenName familyName middleName identifier email sms phone "
        "agentSourcedIds grades password",
        enabledUser="boolean",
    ),
    "demographics.csv": _columns(
        f"birthDate sex {' '.join(RACES)} countryOfBirthCode stateOfBirthAbbreviation cityOfBirth "
        "publicSchoolResidenceStatus",
        birthDate="date",
        **dict.fromkeys(RACES, "boolean"),
    ),
    "enrollments.csv": _columns(
        "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
        primary="boolean",
        beginDate="date",
        endDate="date",
    ),
}
