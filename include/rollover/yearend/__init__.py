"""The steps of a rollover, from the check that it may begin to its certificate."""
