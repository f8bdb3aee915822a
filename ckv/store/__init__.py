"""One secondary's records, in two tiers. Nothing here knows sockets, greenlets or the time of day."""
