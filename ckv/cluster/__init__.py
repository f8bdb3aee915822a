"""Who owns which key."""
