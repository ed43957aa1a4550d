"""Fetched files as text, rows and typed values: whatever their encoding, line ends and shape."""
