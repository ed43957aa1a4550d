"""The page about a drop: what was wrong with it, by code, file and school, and how it differs from the live roster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, insert, update

from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.database.tables import directory, ledger
from rollover.roster.findings import Findings
from rollover.roster.imports import ImportState
from rollover.roster.reporting.report import deliver_findings
from rollover.web.host import Host
from tests.roster.conftest import District, district, sftp, sftp_server, tenant_id
from tests.support import small_district
from tests.support.roster.small_set import row_of, whole_set
from tests.web.conftest import ADMIN, CLERK, READER, Browser
from tests.web.test_downloads import downloaded_of, lines_of, send
from tests.web.test_tenant import EVIL, as_text

__all__ = ["district", "sftp", "sftp_server", "tenant_id"]

SPRINGFIELD = "springfield-il"
DROPS = f"/tenants/hero__{SPRINGFIELD}/drops"


@pytest.fixture
def host(host: Host, known: Catalog) -> Host:
    """Pages about Springfield and Shelbyville, too."""
    more = {name: small_district.district(name) for name in (SPRINGFIELD, "shelbyville-il")}
    return replace(host, catalog=lambda: Catalog({**known.districts, **more}, known.products, ()))


def seen(browser: Browser, path: str) -> str:
    answer = browser(READER).get(path)
    assert answer.status_code == 200, answer.text
    return as_text(answer.text)


def with_mistakes(district: District) -> str:
    """A drop with errors in rows about both schools."""
    rows = whole_set()
    row_of(rows, "users", "student-1")["grades"] = "a grade"
    row_of(rows, "users", "student-3")["grades"] = "Zebrowski"
    row_of(rows, "users", "teacher-1")["email"] = "no address"
    row_of(rows, "classes", "class-2-2025-26")["schoolSourcedId"] = "Quentin Zebrowski"
    return str(district.take_rows(rows)["import_id"])


def report(host: Host, district: District, import_id: str) -> None:
    """What the district gets, which stays in storage."""
    given = (district.engine, district.tenant_id, import_id, district.storage)
    deliver_findings(
        *given, host.catalog().districts[SPRINGFIELD], host.catalog().products["hero"], lambda file, path: None
    )


def test_what_was_wrong_with_the_last_files(district: District, browser: Browser) -> None:
    import_id = with_mistakes(district)
    overview = seen(browser, f"/tenants/{district.tenant_id}")
    page = seen(browser, f"{DROPS}/{import_id}")
    found = district.findings(import_id)
    assert found
    for code, _, file, row, column in found:
        assert code in page and file in page
        assert row is None or f" {row} {column} " in page
    assert next(code for code, severity, *_ in sorted(found) if severity == "error") in overview
    assert "Zebrowski" not in page + overview, "no value of the files"


def test_findings_by_school_file_and_code(district: District, owner: Engine, browser: Browser) -> None:
    with owner.begin() as connection:
        for n in (1, 2):
            names = {"district_id": SPRINGFIELD, "school_id": f"school-{n}", "name": f"School {n}"}
            connection.execute(insert(directory.schools).values(**names))
    import_id = with_mistakes(district)
    page = seen(browser, f"{DROPS}/{import_id}")
    by_school = page.partition("By school, of rows that name one")[2].partition("What is wrong and")[0]
    assert "School 1 school-1" in by_school and "School 2 school-2" in by_school
    only = seen(browser, f"{DROPS}/{import_id}?file=classes.csv").partition("What is wrong and")[2]
    assert "classes.csv" in only and "users.csv" not in only
    nothing = seen(browser, f"{DROPS}/{import_id}?code=%3Cb%3E")
    assert nothing.endswith("None.")
    for typed in (district.storage / "imports" / import_id / "typed").iterdir():
        typed.unlink()
    assert "By school is not known" in seen(browser, f"{DROPS}/{import_id}")


def test_many_findings_have_pages_and_all_are_in_the_csv_file(district: District, browser: Browser) -> None:
    import_id = district.take_rows(whole_set())["import_id"]
    many = Findings()
    many.add("bad_date", "error", "users.csv", '=HYPERLINK("x") is no date.', column="birthDate", rows=range(2, 252))
    with tenant_session(district.engine, district.tenant_id) as connection:
        many.store(connection, import_id, district.tenant_id)
    first, last = (seen(browser, f"{DROPS}/{import_id}?number={n}") for n in (1, 3))
    assert " 101 birthDate" in first and " 102 birthDate" not in first
    assert " 251 birthDate" in last and "Next" not in last
    rows = lines_of(browser(READER).get(f"{DROPS}/{import_id}/findings.csv").content)
    assert [int(row["row"]) for row in rows if row["code"] == "bad_date"] == [*range(2, 252)]
    assert rows[0]["what is wrong and how to fix it"].startswith("'="), "a spreadsheet runs nothing"


def test_the_comparison_as_numbers_and_charts(district: District, browser: Browser) -> None:
    first = district.take_rows(whole_set())["import_id"]
    district.apply(first)
    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    rows = whole_set(2027)
    rows["users"] = [row for row in rows["users"] if row["sourcedId"] != "student-3"]
    rows["enrollments"] = [row for row in rows["enrollments"] if row["userSourcedId"] != "student-3"]
    second = district.take_rows(rows)["import_id"]
    found = district.found(second)
    assert found.comparison is not None
    answer = browser(READER).get(f"{DROPS}/{second}")
    page = as_text(answer.text)
    count = found.comparison["types"]["students"]
    assert f"students {count['live']} {count['staged']}" in page
    assert "in these files, 2026-27" in page and 'role="img"' in answer.text
    assert "<desc" in answer.text and "expected from 2025-26" in answer.text


def test_a_drop_in_review_links_to_its_decision_and_then_says_who_decided(
    district: District, owner: Engine, browser: Browser
) -> None:
    import_id = district.take_rows(whole_set())["import_id"]
    with owner.begin() as connection:
        small_district.unguarded(connection, "imports")
        connection.execute(
            update(ledger.imports).values(
                state=ImportState.READY, decision="approve", decided_by="kim", decided_at=func.now()
            )
        )
        asked = {"kind": "roster", "about": import_id, "digest": "x", "subject": "Springfield: new roster?"}
        run = {"dag_id": "roster_import", "run_id": "r", "task_id": "t", "map_index": 0, "asked_at": func.now()}
        values = {"tenant_id": district.tenant_id, "rows_erased": 0, "options": ["Approve"], **asked, **run}
        question = connection.scalar(
            insert(ledger.questions).values(**values).returning(ledger.questions.c.question_id)
        )
    page = browser(READER).get(f"{DROPS}/{import_id}").text
    assert f'href="/decisions/{district.tenant_id}/{question}"' in page
    assert "approve by kim" in as_text(page)
    assert "approve by kim" in seen(browser, DROPS)


def test_nothing_of_another_tenants_drop(district: District, owner: Engine, browser: Browser) -> None:
    own = with_mistakes(district)
    other = "hero__shelbyville-il__0123456789ab"
    with owner.begin() as connection:
        drop = {"drop_id": other, "folder": "/f", "fingerprint": other, "files": []}
        connection.execute(insert(ledger.drops).values(tenant_id="hero__shelbyville-il", **drop))
        connection.execute(
            insert(ledger.imports).values(tenant_id="hero__shelbyville-il", import_id=other, state="rejected")
        )
    unknown = browser(READER).get(f"{DROPS}/nothing")
    for path in (f"{DROPS}/{other}", f"/tenants/hero__shelbyville-il/drops/{own}"):
        answer = browser(READER).get(path)
        assert (answer.status_code, answer.text) == (404, unknown.text)
        assert browser(READER).get(f"{path}/findings.csv").status_code == 404
        assert send(browser, f"{path}/findings", {}).status_code == 404
    for path in (f"{DROPS}/{own}", DROPS, f"{DROPS}/{own}/findings.csv"):
        assert browser(CLERK).get(path).status_code == 404
        assert browser(None).get(path).status_code == 401


def test_the_list_with_ids_is_personal_data(district: District, host: Host, browser: Browser) -> None:
    import_id = with_mistakes(district)
    path = f"{DROPS}/{import_id}/findings"
    assert "with the ids" not in seen(browser, f"{DROPS}/{import_id}")
    assert send(browser, path, {}).status_code == 409, "it was not written yet"
    report(host, district, import_id)
    assert "with the ids" not in seen(browser, f"{DROPS}/{import_id}"), "ray may only read"
    assert send(browser, path, {}, READER).status_code == 403
    assert downloaded_of(district.engine, district.tenant_id) == []
    got = send(browser, path, {})
    assert "student-1" in got.text and "student-1" not in browser(ADMIN).get(f"{path}.csv").text
    (fact,) = downloaded_of(district.engine, district.tenant_id)
    assert fact == {"what": "findings", "by": ADMIN, "import": import_id}


def test_names_of_files_and_schools_are_text(district: District, owner: Engine, browser: Browser) -> None:
    rows = whole_set()
    for org in rows["orgs"]:
        org["name"] = EVIL
    import_id = district.take_rows(rows)["import_id"]
    with owner.begin() as connection:
        small_district.unguarded(connection, "drops")
        connection.execute(update(ledger.drops).values(files=[{"name": EVIL, "size": 1, "modified": 1}], folder=EVIL))
    for path in (f"{DROPS}/{import_id}", DROPS, f"/tenants/{district.tenant_id}"):
        page = browser(ADMIN).get(path).text
        assert "<img" not in page, path
    page = browser(ADMIN).get(f"{DROPS}/{import_id}").text
    assert "&lt;img src=x" in page and "another file" in page


def test_a_name_that_no_format_has_is_not_shown(district: District, browser: Browser) -> None:
    import_id = district.take({"Quentin Zebrowski.csv": b"a,b"})["import_id"]
    unread = Findings()
    unread.refuse("not_read", "Quentin Zebrowski.pdf", "Send CSV files.")
    with tenant_session(district.engine, district.tenant_id) as connection:
        unread.store(connection, import_id, district.tenant_id)
    paths = (f"{DROPS}/{import_id}", f"{DROPS}/{import_id}/findings.csv", f"/tenants/{district.tenant_id}")
    for path in paths:
        answer = browser(READER).get(path).text
        assert "another file" in answer and "Zebrowski" not in answer, path
