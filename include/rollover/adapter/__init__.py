"""Where Rollover meets Airflow: connections, runs, imports, waiting, asking. No other package imports it.

DAG files import its modules when they are parsed, so what is heavy (paramiko) is imported where it is used.
"""
