"""One tenant's failed run does not end the demo's season of the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, insert
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.database.session import tenant_session
from rollover.database.tables.ledger import rollovers
from rollover.ledger import notices
from rollover.tenant import rollover_id
from rollover_demo.demo.season import Season, SeasonFailed, Seen
from rollover_demo.seed.season import season
from tests.support.small_district import NOW, hero_world, run_of

SPECS = season(SchoolYear.parse("2025-26"))
TENANTS = [(spec, tenant) for spec in SPECS for tenant in spec.tenants if not tenant.past_years]


def seen_with_certified(but: str) -> Seen:
    """The ledger when every tenant but one is in its new year."""
    states, applied = {}, {}
    for spec in SPECS:
        for tenant in spec.tenants:
            for back in range(tenant.past_years + 1):
                year = SchoolYear(spec.year.first_year - back)
                if tenant.id != but:
                    states[rollover_id(tenant.id, year.key)] = "certified"
            applied[tenant.id] = [("a", "applied"), ("b", "applied")]
    return Seen({}, states, applied)


@pytest.mark.parametrize("by", ["its rollover", "its import"])
def test_a_failed_run_stops_its_own_tenant_only(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = TENANTS[0][1]
    failed: dict[str, Any] = {"state": "failed", "dag_run_id": "r", "partition_key": "2025-26"}
    if by == "its rollover":
        failed |= {"dag_id": f"rollover__{tenant.id}"}
    else:
        failed |= {"dag_id": "roster_import", "partition_key": tenant.id}
    api = SimpleNamespace(runs=lambda dag_id: [failed], questions=list)
    said: list[str] = []
    services: Any = SimpleNamespace(specs=SPECS, api=api, folder=Path("var/demo"))
    what = Season(services, said.append, answer_approvals=True)
    looks = iter([seen_with_certified(but=tenant.id)] * 3)
    monkeypatch.setattr(what, "_look", lambda: next(looks))
    monkeypatch.setattr("rollover_demo.demo.season.POLL_SECONDS", 0)
    with pytest.raises(SeasonFailed, match=rf"^{tenant.id} stopped: .* failed in r: read "):
        what.run(timeout=5)
    assert [line for line in said if "the others go on" in line and line.startswith(tenant.id)]


def test_without_a_failure_it_ends_when_all_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    services: Any = SimpleNamespace(specs=SPECS, api=SimpleNamespace(runs=lambda dag_id: [], questions=list))
    what = Season(services, lambda line: None, answer_approvals=True)
    monkeypatch.setattr(what, "_look", lambda: seen_with_certified(but=""))
    what.run(timeout=5)


def test_it_waits_for_the_mails_about_what_is_certified(
    owner: Engine, engine: Engine, storage: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollover_demo.demo.season.NOTICES_SECONDS", 0.1)
    monkeypatch.setattr("rollover_demo.demo.season.POLL_SECONDS", 0.05)
    what = Season(SimpleNamespace(specs=SPECS, owner=owner), print, answer_approvals=True)  # type: ignore[arg-type]
    assert what.wait_for_mails(), "nothing is certified"
    hero_world(owner)
    run = run_of(engine, storage)
    with owner.begin() as connection:
        row = {"rollover_id": run.id, "school_year": "2025-26", "reset_date": run.reset_date, "reset_at": run.reset_at}
        row |= {"is_current": True, "state": "certified", "run_id": "r", "started_at": NOW, "finished_at": NOW}
        connection.execute(insert(rollovers).values(tenant_id=run.tenant.id, **row))
    assert not what.wait_for_mails()
    for role in ("district_it", "privacy_officer"):
        with tenant_session(engine, run.tenant.id) as connection:
            key = notices.Key(run.tenant.id, "certified", "2025-26 plan 1", role, "mail")
            number = notices.begin(connection, key, "2025-26", None, NOW)
            assert number is not None
            notices.record_sent(connection, number, subject="s", text_sha256="a" * 64, recipients=1, now=NOW)
    assert what.wait_for_mails()
