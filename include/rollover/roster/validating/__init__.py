"""A staged set judged as a whole, and the roster that it says."""
