"""Finds drops on the districts' SFTP servers, and copies them to storage: complete, unpacked, and without passwords."""
