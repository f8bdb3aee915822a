"""What the tests share: a private MariaDB, real ckv processes, a raw protocol client, and waiting on conditions."""
