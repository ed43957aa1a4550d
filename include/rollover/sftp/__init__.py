"""Lists and downloads files of the districts' SFTP servers, and writes to their outbox, and nowhere else."""
