"""Reports to a district about its drops."""
