"""The terminal in the README: what is typed into it, and the picture of that."""
