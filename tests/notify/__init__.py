"""Tests of `rollover.notify`."""
