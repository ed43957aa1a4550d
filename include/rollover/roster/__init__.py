"""From a drop on SFTP to the live roster: fetch, stage, validate, compare, apply, provision.

Each step moves one import of the ledger from one state to the next, in the transaction that makes its change:
found → fetched → staged → validated → ready → applied. A set that must not get in is ``rejected``, with findings
that tell the district where and how to fix it; a set that a newer one replaces is ``superseded``. A step
whose import is already past it, or at such an end, changes nothing and says where the import is.

A room per step: ``fetching``, ``staging``, ``validating``, ``comparing``, ``deciding`` (what a person says of a held
set), ``applying`` (and undoing), then ``reporting`` to the district and ``verifying`` the new year's roster.
``formats`` has one module per file format. The modules beside them are what the rooms share.
"""
