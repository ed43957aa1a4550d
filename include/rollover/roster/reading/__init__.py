"""Reads CSV files: empties password columns on the way to storage, and makes typed rows of the files there.

From the bottom: `lexer` separates records and fields. `passwords` is the filter on the way to storage. `text` makes a
file readable for Arrow. `header` and `rows` (with `odd_rows` and `shifted`) find its columns as text, `clean` makes
typed values. `manifest` finds the format and the files of a set, `stage` reads a set.
"""
