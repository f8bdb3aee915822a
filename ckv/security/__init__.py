"""Who may do what: users, their secrets and their rights. No sockets, and nothing of any protocol."""
