"""The shell: a prompt for people, and a command for scripts."""
