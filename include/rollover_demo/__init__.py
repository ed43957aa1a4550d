"""Runs local services for the demo and the tests: real ones, on free ports, in one ignored folder."""
