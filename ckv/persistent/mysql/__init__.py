"""The persistent tier in MySQL or MariaDB: whole batches in few statements."""
