"""Lists and downloads files from the districts' SFTP servers, and writes to their outbox but nowhere else."""
