"""Celery's settings of a worker: Airflow's own, and what it imports before its tasks, which are forks of it.

Set ``AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS`` to ``rollover.adapter.celery_settings.CELERY_CONFIG``.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

from rollover.adapter.preloading import FOR_TASKS

CELERY_CONFIG: dict[str, Any] = {**DEFAULT_CELERY_CONFIG, "imports": FOR_TASKS}
