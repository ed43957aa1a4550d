"""The season page: every state is shown, what is late comes first, and nobody sees more than their tenants."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.season.overview import overview
from rollover.season.phases import Phase, WaitsFor
from rollover.season.read import read_season
from rollover.web.progress import certified_days, chart, months
from rollover.web.season_rows import PAGE_ROWS
from tests.season.test_state_texts import ALARMS, DROP, FAILURE, PHASES, RESET
from tests.support.made_season import put
from tests.support.small_district import district
from tests.web.conftest import ADMIN, CLERK, NOW, READER, Browser

HERO, OTHER = "hero__riverside-ca", "hero__hillside-wa"
MATH = "imagine_math__riverside-ca"
CERTIFIED = PHASES[Phase.CERTIFIED][0]
FAILED = PHASES[Phase.FAILED][0]


def rows(html: str) -> list[str]:
    """The lines of the table of tenants, without tags."""
    table = html.split('class="tenants"')[-1].split("<tbody>")[-1] if 'class="tenants"' in html else ""
    found = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]


def test_every_state_is_shown_with_its_own_words(browser: Browser, owner: Engine, known: Catalog) -> None:
    for given in (*(case for cases in PHASES.values() for case in cases), *ALARMS.values()):
        put(owner, HERO, "2025-26", **given)
        (state,) = read_season(owner, known, NOW).states
        html = browser(READER).get("/season").text
        (row,) = rows(html)
        head, _, rest = state.summary.partition(": ")
        assert f"{head} {rest}".strip() in row
        assert state.waits_for.label in row or state.waits_for is WaitsFor.NOBODY
        assert state.next_why is None or state.next_why in row
        for sentence in state.sentences if state.is_late else ():
            assert sentence.replace("'", "&#39;") in html


def test_a_person_sees_only_the_tenants_of_her_district(browser: Browser, owner: Engine) -> None:
    put(owner, HERO, "2025-26", **FAILED)
    put(owner, OTHER, "2025-26", **FAILED)
    assert len(rows(browser(ADMIN).get("/season").text)) == 2
    clerk = browser(CLERK)
    assert "Hillside" not in clerk.get("/season").text and "Riverside" in clerk.get("/season").text
    assert rows(clerk.get("/season?q=hillside").text) == []
    assert clerk.get("/totals").json()["tenants"] == 1


def test_the_totals_say_what_the_page_says(browser: Browser, owner: Engine) -> None:
    put(owner, HERO, "2025-26", **FAILED)
    put(owner, OTHER, "2025-26", **CERTIFIED)
    put(owner, MATH, "2025-26")
    assert [line["text"] for line in browser(ADMIN).get("/totals").json()["lines"]] == [
        "2025-26: 3 planned",
        "2 due by today",
        "1 certified",
        "1 late or wrong",
    ]


def test_a_failed_backfill_is_not_hidden(browser: Browser, owner: Engine) -> None:
    put(owner, HERO, "2025-26")
    put(owner, HERO, "2023-24", **FAILED)
    html = browser(ADMIN).get("/season").text
    worst, current = rows(html)
    assert "2023-24" in worst and "Failed at archive" in worst
    assert "Scheduled" in current
    assert "1 planned" in html and "Tiles and table also show 1 other school year under way or late." in html
    html = browser(ADMIN).get("/season?year=2025-26").text
    (only,) = rows(html)
    assert "Scheduled" in only and "Tiles and table also show" not in html


def test_a_year_that_is_past_can_be_chosen(browser: Browser, owner: Engine) -> None:
    put(owner, HERO, "2025-26")
    put(owner, HERO, "2024-25", **CERTIFIED)
    with owner.begin() as connection:
        connection.execute(text("UPDATE ledger.season SET is_past = true WHERE school_year = '2024-25'"))
    admin = browser(ADMIN)
    assert [row for row in rows(admin.get("/season").text) if "Certified" in row] == []
    html = admin.get("/season?year=2024-25").text
    assert len([row for row in rows(html) if "Certified" in row]) == 1 and "<option selected>2024-25" in html
    for wrong in ("2024-26", "x"):
        assert admin.get(f"/season?year={wrong}").status_code in (404, 422)


def test_filters_search_and_order(browser: Browser, owner: Engine) -> None:
    put(owner, HERO, "2025-26", **FAILED)
    put(owner, OTHER, "2025-26", **RESET, newest_drop=DROP)
    put(owner, MATH, "2025-26", **CERTIFIED)
    admin = browser(ADMIN)

    def shown(query: str) -> list[str]:
        return [re.split(r" (?=Failed|Waiting|Certified)", row)[0] for row in rows(admin.get(f"/season?{query}").text)]

    failed, waiting = "Riverside-Ca · Hero", "Hillside-Wa · Hero"
    math = "Riverside-Ca · Imagine Math"
    assert shown("") == [failed, waiting, math], "the most serious first"
    assert shown("phase=certified") == [math]
    assert shown("waits_for=district_it") == [waiting]
    assert shown("product=imagine_math&phase=&waits_for=") == [math]
    assert shown("late=1") == [failed]
    assert shown("q=hero+RIVER") == [failed]
    assert shown("q=%25") == []
    assert shown("sort=tenant") == [waiting, failed, math]
    assert shown("sort=-tenant") == [math, failed, waiting]
    assert shown("sort=nonsense") == shown("")
    assert shown("reset=2026-07-28") == [math]


def test_the_form_can_be_sent_as_it_is(browser: Browser, owner: Engine) -> None:
    put(owner, HERO, "2025-26", **FAILED)
    put(owner, OTHER, "2025-26", **RESET)
    admin = browser(ADMIN)
    page = admin.get("/season").text
    form = page.split('<form class="filters"')[1].split("</form>")[0]
    names = re.findall(r'<(?:select|input type="search") name="(\w+)"', form)
    assert {"q", "year", "product", "phase", "waits_for"} <= set(names)
    assert rows(admin.get("/season", params=dict.fromkeys(names, "")).text) == rows(page) != []
    assert len(rows(admin.get("/season", params={**dict.fromkeys(names, ""), "q": "hillside"}).text)) == 1


def test_a_row_leads_to_its_own_year(browser: Browser, owner: Engine) -> None:
    put(owner, HERO, "2024-25", **FAILED)
    put(owner, HERO, "2025-26")
    page = browser(ADMIN).get("/season").text
    assert f"/tenants/{HERO}?year=2024-25" in page and f"/tenants/{HERO}?year=2025-26" in page


def test_the_table_has_pages(browser: Browser, owner: Engine, known: Catalog) -> None:
    for n in range(PAGE_ROWS + 3):
        known.districts[f"d{n:03}"] = district(f"d{n:03}")
        put(owner, f"hero__d{n:03}", "2025-26")
    admin = browser(ADMIN)
    first, second = admin.get("/season?sort=tenant").text, admin.get("/season?sort=tenant&page=2").text
    assert (len(rows(first)), len(rows(second))) == (PAGE_ROWS, 3)
    assert f"1 to {PAGE_ROWS} of {PAGE_ROWS + 3} rows" in first
    assert "sort=tenant&amp;page=2" in first
    assert rows(admin.get("/season?sort=tenant&page=900").text) == rows(second)


def test_names_with_markup_are_text(browser: Browser, owner: Engine, known: Catalog) -> None:
    name = 'Cedar <script>alert("1")</script> & "Falls"'
    known.districts["riverside-ca"] = known.districts["riverside-ca"].model_copy(update={"name": name})
    put(owner, HERO, "2025-26", **RESET, failure={**FAILURE, "reason": "<img src=x onerror=alert(1)>"})
    html = browser(ADMIN).get('/season?q="><script>').text + browser(ADMIN).get("/season").text
    assert "<script>" not in html and "<img" not in html
    assert "Cedar &lt;script&gt;" in html and 'value="&#34;&gt;&lt;script&gt;"' in html


def test_how_far_the_season_is(browser: Browser, known: Catalog, owner: Engine) -> None:
    certified_at = datetime(2026, 7, 19, tzinfo=UTC)
    put(owner, HERO, "2025-26", **{**CERTIFIED, "rollover": {**CERTIFIED["rollover"], "finished_at": certified_at}})
    put(owner, OTHER, "2025-26")
    put(owner, MATH, "2025-26")
    year, states = SchoolYear.parse("2025-26"), read_season(owner, known, NOW).states
    sums = overview(states, year, NOW)
    said = f"3 planned, {sums.due} due by today, 1 reset, <b>1 certified</b>"
    assert said in browser(ADMIN).get("/season").text, "as `rollover season` says it"
    planned = {each.day: each.planned for each in sums.by_day}
    july, *others = months(planned)
    assert sum(number for week in july.weeks for cell in week if cell for number in cell[1:]) == 3 and not others
    done = certified_days(states, year)
    assert done == [certified_at.date()]
    found = chart(planned, done, NOW.date())
    assert found is not None
    ends = [float(line.points.split()[-1].split(",")[1]) for line in (found.planned, found.done)]
    highest, lowest = found.up[-1][0], found.up[0][0]
    assert ends[0] == highest and ends[1] == pytest.approx(lowest + (highest - lowest) / 3, abs=0.1)


def test_nothing_planned_has_no_chart() -> None:
    assert chart({}, [], NOW.date()) is None and list(months({})) == []


@pytest.mark.parametrize("days", [-400, 0, 4000])
def test_a_season_on_one_day_has_a_chart(days: int) -> None:
    found = chart({NOW.date(): 2}, [], NOW.date() + timedelta(days=days))
    assert found is not None and len(found.planned.points.split()) >= 3
    lefts = [float(point.split(",")[0]) for point in found.planned.points.split()]
    assert lefts == sorted(lefts) and lefts[0] >= 0


def test_who_resets_next_and_does_not_know(browser: Browser, owner: Engine) -> None:
    informed = {"informed_at": NOW, "last_sent_at": NOW, "failed": 0}
    others = ("imagine_math__hillside-wa", "imagine_math_facts__riverside-ca")
    for tenant, notices in ((MATH, informed), *((other, None) for other in others)):
        put(owner, tenant, "2025-26", notices=notices)
    html = browser(ADMIN).get("/season").text.split('id="soon"')[1].split("</section>")[0]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)
    day, resets, informed_, names = (" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in cells)
    assert (day, resets, informed_) == ("Tuesday, Jul 28, 2026", "3", "1")
    assert "Hillside-Wa · Imagine Math," in names and "Riverside-Ca · Imagine Math Facts" in names
    assert names.count("Riverside") == 1


def test_if_nobody_resets_soon_the_next_day_is_named(browser: Browser, owner: Engine) -> None:
    informed = {"informed_at": NOW, "last_sent_at": NOW, "failed": 0}
    put(owner, MATH, "2026-27", notices=informed)
    put(owner, "imagine_math__hillside-wa", "2026-27")
    html = browser(ADMIN).get("/season").text.split('id="soon"')[1].split("</section>")[0]
    assert "None. The next is on" in html and "Jul 28, 2027" in html and "2 tenants, 1 informed." in html


def test_an_empty_season_says_so(browser: Browser) -> None:
    assert "No tenant has a state in this year." in browser(ADMIN).get("/season").text
    assert "There is no tenant that you may see." in browser("broken").get("/season").text
