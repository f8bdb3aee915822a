"""The roles that ask nodes: they are clients, run once, and serve nobody."""
