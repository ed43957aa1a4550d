"""A drop from the district's SFTP server into storage, as it lies there: whole, unpacked, and without passwords."""
