"""What the tests share: a private MariaDB and ZooKeeper, real ckv processes, a raw client, waiting on conditions."""
