"""The districts' SFTP servers: what lies there, how it is downloaded, and the one folder that we write to."""
