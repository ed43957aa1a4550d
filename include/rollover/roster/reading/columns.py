"""The columns that the rows of a file have beside their own."""

ROW = "row"
"""The place in the file; the first line is 1."""
KEPT_OUT = "kept_out"
"""True for a row that has an error already, and is there so that what depends on it can be found."""
IS_DELETED = "is_deleted"
"""True for a row of a delta that says its record is gone."""
