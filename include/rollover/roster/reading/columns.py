"""Names the columns that rows have in addition to those of their file."""

ROW = "row"
"""The place in the file; the first line is 1."""
KEPT_OUT = "kept_out"
"""True for a row that has an error already; it is kept so that the rows that depend on it can be found."""
IS_DELETED = "is_deleted"
"""True for a row of a delta that says its record is gone."""
