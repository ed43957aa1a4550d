"""Measured rates of the steps, beside what a user would otherwise do and the limits, in one run."""
