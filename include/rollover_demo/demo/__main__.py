"""Run the demo. `--exit` stops at the end, with 0 only if every tenant ended as it should."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rollover.settings import HOME
from rollover_demo.demo.season import Season, SeasonFailed
from rollover_demo.demo.services import ENV, MAIL, Services, prepared, running
from rollover_demo.demo.summary import mails, summary, table
from rollover_demo.seed.season import demo_year, season
from rollover_demo.snapshot import snapshot
from rollover_demo.with_make import end_with_make

FOLDER = HOME / "var" / "demo"
TIMEOUT_SECONDS = 900.0


def main() -> int:
    """Returns the exit code."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a background shell starts us with it ignored
        signal.signal(number, signal.default_int_handler)
    end_with_make()
    specs = season(demo_year(datetime.now(UTC).date()))
    _say(f"a finished school year {specs[0].year} for {sum(len(spec.tenants) for spec in specs)} tenants is made")
    try:
        with prepared(FOLDER, specs) as (server, owner):
            if options.snapshots:
                snapshot(owner, FOLDER / "before")
            _say("Airflow starts: scheduler, DAG processor, triggerer, API server")
            with running(FOLDER, specs, server, owner) as services:
                _say(f"Airflow is at {services.airflow.url}, user dana, password {services.airflow.password}")
                print(_how_to_use(services), flush=True)
                what = Season(services, _say, answer_approvals=not options.ask)
                wrong = None
                try:
                    what.begin()
                    what.run(timeout=None if options.ask else TIMEOUT_SECONDS)
                except SeasonFailed as error:
                    wrong = str(error)
                else:
                    what.wait_for_mails()
                entries = _report(summary(owner))
                if options.snapshots:
                    snapshot(owner, FOLDER / "after")
                wrong = wrong or _not_as_it_should(entries)
                print(f"\n{'Something went wrong: ' + wrong if wrong else 'Every tenant ended as it should.'}")
                if options.exit:
                    return 1 if wrong else 0
                print(_how_to_use(services))
                print("Ctrl-C stops everything.", flush=True)
                with suppress(KeyboardInterrupt):
                    signal.pause()
                print("\nstopping", flush=True)
    except KeyboardInterrupt:
        print("\nstopped before the end; `make demo` starts again", flush=True)
        return 130
    return 0


def _how_to_use(services: Services) -> str:
    """Return how to use the demo from a second shell, and how a district's IT uploads files."""
    district = services.specs[0].id
    return "\n".join(
        [
            f"Airflow: {services.airflow.url}, user dana, password {services.airflow.password}",
            f"Commands: in a second shell, `. {_shown(FOLDER / ENV)}`; then `rollover status`, `airflow dags list`, …",
            f"Upload as a district's IT: sftp -P {services.sftp.port} {district}@{services.sftp.host}, password "
            f"{services.sftp_accounts[district].password}",
        ]
    )


def _report(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    path = FOLDER / "summary.json"
    path.write_text(json.dumps(entries, indent=2))
    print(f"\n{table(entries)}\n\nThe same, with every data class: {_shown(path)}")
    print(f"Mails sent: {mails(entries)}; they are in {_shown(FOLDER / MAIL)}", flush=True)
    return entries


def _not_as_it_should(entries: list[dict[str, Any]]) -> str | None:
    """Return what is wrong in the summary although no run failed."""
    for entry in entries:
        who = f"{entry['tenant']} {entry['school_year']}"
        if entry["state"] != "certified" or not entry["kept_unchanged"]:
            return f"{who} is {entry['state']}, kept data unchanged: {entry['kept_unchanged']}"
        if not sum(entry["archived"].values()) + sum(entry["erased"].values()) or not entry["exports"]:
            return f"{who} archived and erased nothing, or exported nothing"
        if not entry["notices"].get("certified"):
            return f"nobody was notified that {who} is certified"
        if entry["current"] and not entry["roster"].get("people"):
            return f"{who} has no people in its new roster"
    return None if entries else "nothing was rolled over"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo ARGS=…", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="stop at the end instead of staying up")
    parser.add_argument("--ask", action="store_true", help="leave the approvals to you, in Airflow")
    parser.add_argument("--snapshots", action="store_true", help="write every table as Parquet, before and after")
    return parser.parse_args()


_started = time.monotonic()


def _say(line: str) -> None:
    print(f"{time.monotonic() - _started:6.1f} s  {line}", flush=True)


def _shown(path: Path) -> str:
    return str(path.relative_to(HOME))


if __name__ == "__main__":
    sys.exit(main())
