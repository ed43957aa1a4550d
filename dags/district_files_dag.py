"""
### Shows which district files are refused

Rollover's DAGs come from the files in `include/districts/` and `include/products/`. A file that is wrong is left out,
and the districts of the others go on. This file makes that visible: while any file is refused, Airflow shows it as an
import error that names file, line, field and reason. It holds no DAG.

**To fix it**: correct the file; the error goes with the next parse, or at once by `airflow dags reserialize`.
"""

from __future__ import annotations

from rollover.adapter import runs
from rollover.errors import ConfigError

if problems := runs.catalog().problems:
    raise ConfigError("\n".join(map(str, problems)))
