"""From a drop on SFTP to the live roster: fetch, stage, validate, compare, apply, provision.

Each step moves one import of the ledger from one state to the next, in the transaction that makes its change:
found → fetched → staged → validated → ready → applied; over a limit: validated → in_review → ready. A set that must not
be imported is ``rejected``, with findings that tell the district where and how to fix it; a set that a newer one
replaces is ``superseded``. A step whose import is already past it changes nothing and says where the import is.

The rooms: ``imports``, ``formats``, ``reading``, ``intake``, ``validating``, ``comparing``, ``review``, ``applying``,
``reporting``, ``verifying``; docs/architecture.md says what each does. The modules beside them are what they share.
"""
