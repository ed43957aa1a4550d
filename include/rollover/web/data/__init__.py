"""Collects what the pages show: typed values from the ledger of one tenant. It knows no HTTP and no HTML."""
