"""Connects Rollover with Airflow: connections, runs, imports, waiting, asking. No other package imports Airflow.

DAG files import these modules when they are parsed, so slow libraries (paramiko) are imported inside the functions.
"""
