"""Runs `make demo`: a season's rollovers on real services, with people who answer and upload, and a final table."""
