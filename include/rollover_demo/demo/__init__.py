"""`make demo`: a season's rollovers on real parts, with people who answer and upload, and a table at the end."""
