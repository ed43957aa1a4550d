"""A district file, as `include/districts/` has them."""

DISTRICT = """
district: riverside-ca
name: Riverside
time_zone: America/Los_Angeles
org_sourced_id: riverside-ca-org
sftp_connection: district_sftp
products:
  hero:
    first_school_year: 2025-26
    folder: /riverside-ca/hero
    roster_format: oneroster_1_1
    roster_import: at_once
"""
