"""ZooKeeper as the place where several primaries decide which of them leads. Begin with ``coordinator.py``."""
