"""``make bench`` measures everything; ``make bench ARGS="roster --students 20000"`` one part, with options of its own.

The parts: ``steps`` (archive, erase), ``exports`` (reports beside pandas), ``roster`` (importing a roster set),
``fetch`` (transfer over SFTP), ``config`` (thousands of district files), ``pages`` (of thousands of tenants),
``orchestration`` (what Airflow adds to a whole rollover) and ``season`` (many tenants in one night).
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

PARTS = ("steps", "exports", "roster", "fetch", "config", "pages", "orchestration", "season")


def main() -> None:
    parts = [part for part in PARTS if find_spec(f"bench.{part}")]
    chosen, options = sys.argv[1:2], sys.argv[2:]
    if chosen and chosen[0] not in parts:
        sys.exit(f"There is no part {chosen[0]}; there are {', '.join(parts)}.")
    for part in chosen or parts:
        print(f"== {part}", flush=True)
        # A process for each, so that none measures the memory of another.
        done = subprocess.run([sys.executable, "-m", f"bench.{part}", *options], check=False)  # noqa: S603
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
