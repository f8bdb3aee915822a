"""The two kinds of node, which listen and serve: the primary and the secondary."""
