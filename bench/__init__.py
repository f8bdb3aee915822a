"""The benchmark: ckv and its peers in turn, in one run, by one load generator. ``make bench`` runs it."""
