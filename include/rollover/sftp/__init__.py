"""Lists and downloads files of the districts' SFTP servers, and writes to the outbox, the only folder for us."""
