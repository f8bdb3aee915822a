# Which keys are here. A place in a walk is the number of an entry: a record keeps its entry as long as it is here.

cdef list keys_between(Table table, uint32_t before, uint32_t end, bytes flags, bint unclean=False):
    # Of the entries behind the one and in front of the other: all, or those in the slots that have a flag, and with
    # `unclean` only those that are not clean.
    cdef const uint8_t *slots = NULL
    cdef Entry *entry
    cdef uint32_t at
    cdef list found = []
    if flags is not None:
        slots = <const uint8_t *>PyBytes_AS_STRING(flags)
    for at in range(before + 1, end):
        entry = &table.entries[at]
        if entry.block == NULL or (unclean and entry.flags & CLEAN):
            continue
        if slots == NULL or slots[slot_of(table.key_of(entry), entry.key_bytes)]:
            found.append(table.key_at(entry))
    return found


cdef bytes flags_of(object slots):
    # Those of a set of slots; None for all.
    if slots is None:
        return None
    cdef bytes flags = slots.flags
    if flags is None or PyBytes_GET_SIZE(flags) != SLOTS:
        raise ValueError("not a flag for each slot")
    return flags
