"""CSV files: emptied of passwords on their way to storage, and read from there as typed rows.

From the bottom: `lexer` takes a text apart; `passwords` is the door, `text` the file as Arrow can read it; `header` and
`rows` (with `odd_rows` and `shifted`) give its columns as text, `clean` typed values; `manifest` says what a set is,
`stage` reads one.
"""
