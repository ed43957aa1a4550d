"""Mounts the pages in Airflow's API server, and adds them to its navigation, to each rollover DAG and to its home.

Only the API server serves them, so no other process loads them. If they cannot be loaded, Airflow starts without them:
no page is better than a page without its authorization.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

SERVER = "airflow.api_fastapi.main"
"""The module that an API server runs, also below gunicorn."""


def is_api_server() -> bool:
    """Whether this process is Airflow's API server."""
    return sys.argv[1:2] == ["api-server"] or SERVER in sys.modules


def views() -> dict[str, list[dict[str, Any]]]:
    """What the plugin adds to Airflow; nothing outside the API server, or if the pages cannot be loaded."""
    if not is_api_server():
        return {}
    try:
        from rollover.adapter import pages

        app = pages.application()
    except Exception as error:
        log.error("Rollover's pages are not there, since they cannot be loaded: %s", type(error).__name__)
        return {}
    of_dag = {"destination": "dag", "href": pages.path_of("/dags/{DAG_ID}")}
    return {
        "fastapi_apps": [{"app": app, "url_prefix": pages.PREFIX, "name": "Rollover"}],
        "external_views": [
            {"name": "Rollover", "destination": "nav", "href": pages.path_of("/season"), "url_route": "rollover"},
            {"name": "Rollover", "url_route": "rollover-tenant", **of_dag},
        ],
        "react_apps": [
            {
                "name": "Rollover season",
                "destination": "dashboard",
                "bundle_url": pages.path_of("/static/panel.js"),
                "url_route": "rollover-panel",
            }
        ],
    }


ADDED = views()


class RolloverPagesPlugin(AirflowPlugin):
    name = "rollover_pages"
    fastapi_apps: list[Any] = ADDED.get("fastapi_apps", [])
    external_views: list[Any] = ADDED.get("external_views", [])
    react_apps: list[Any] = ADDED.get("react_apps", [])
