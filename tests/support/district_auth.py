"""An auth manager of Airflow in which one user has rights to one district only."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

CLERK = "cleo"
DISTRICT = "riverside-ca"


class DistrictAuthManager(SimpleAuthManager):
    """Airflow's simple one, but the clerk has the rights of the role for the DAGs of one district only."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        allowed = super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
        dag_id = str(details.id) if details and details.id else ""
        return allowed and (user.get_id() != CLERK or dag_id.endswith(f"__{DISTRICT}"))


class BrokenAuthManager(SimpleAuthManager):
    """Airflow's simple one, that cannot look up any right about a DAG."""

    def is_authorized_dag(self, **_: Any) -> bool:
        raise ConnectionError("no answer")
