"""The certificate of disposition: its facts, its signature, its two forms (JSON and PDF), and the check of a file."""
