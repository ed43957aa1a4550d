"""Airflow in this process, on a metadata database of its own. Set up before anything imports airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from pathlib import Path

from tests.support.memory_folder import short_folder

HOME = Path(__file__).resolve().parents[2]
VAR = short_folder("rollover-airflow-")
POSTGRES = VAR / "postgres"
DISTRICTS = VAR / "districts"
atexit.register(shutil.rmtree, VAR, ignore_errors=True)

SPRINGFIELD = """
district: springfield-il
name: Springfield Public Schools
students: 52000
time_zone: America/Chicago
org_sourced_id: springfield-il-district
sftp_connection: district_sftp
school_years:
  2024-25: {ends: 2025-06-06, summer_session_ends: 2025-07-25, rostering_begins: 2025-08-11}
products:
  hero:
    first_school_year: 2024-25
    folder: /springfield-il/hero
    roster_format: oneroster_1_1
    roster_import: nightly
    reset_dates: {2024-25: 2025-07-21}
  imagine_math:
    first_school_year: 2024-25
    folder: /springfield-il/imagine_math
    roster_format: oneroster_1_1
    roster_import: at_once
  imagine_math_facts:
    first_school_year: 2024-25
    folder: /springfield-il/imagine_math_facts
    roster_format: oneroster_1_1
    roster_import: at_once
"""
LAKESIDE = """
district: lakeside-wa
name: Lakeside School District
time_zone: America/Los_Angeles
org_sourced_id: lakeside-wa-district
sftp_connection: district_sftp
products:
  hero:
    first_school_year: 2024-25
    folder: /lakeside-wa/hero
    roster_format: oneroster_1_1
    roster_import: at_once
"""
DISTRICTS.mkdir()
for name, text in {"springfield-il": SPRINGFIELD, "lakeside-wa": LAKESIDE}.items():
    (DISTRICTS / f"{name}.yaml").write_text(text)

os.environ |= {
    "ROLLOVER_DISTRICTS": str(DISTRICTS),
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres@/airflow?host={POSTGRES}",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(VAR / "logs"),
    "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(VAR / "logs" / "dag_processor"),
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(VAR / "passwords.json"),
    "AIRFLOW__CORE__FERNET_KEY": "",
}
for folder in (HOME / "plugins", HOME / "dags", HOME / "tests"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
