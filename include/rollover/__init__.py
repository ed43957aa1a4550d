"""Rollover: starts the new school year clean, district by district, and proves it.

Plain functions over PostgreSQL, files and SFTP. Only :mod:`rollover.adapter` knows Airflow.
"""
