# Walks through the records that are here. A place in one is the number of an entry: a record keeps its entry as long as it
# is here.

cdef inline uint32_t end_at(Table table, uint32_t place, uint32_t count) noexcept:
    # The entry in front of which a piece of a walk ends.
    return table.next_entry if count >= table.next_entry - place else place + count + 1


cdef inline uint32_t next_place(Table table, uint32_t place, uint32_t count) noexcept:
    cdef uint32_t end = end_at(table, place, count)
    return end - 1 if end < table.next_entry else 0


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


cdef list large_between(Table table, uint32_t before, uint32_t end, uint64_t at_least):
    # Of the entries behind the one and in front of the other those whose values have so many bytes: how many, and the key.
    cdef Entry *entry
    cdef uint32_t at
    cdef list found = []
    for at in range(before + 1, end):
        entry = &table.entries[at]
        if entry.block != NULL and entry.value_bytes >= at_least:
            found.append((entry.value_bytes, table.key_at(entry)))
    return found


cdef void delete_all(Table table) noexcept:
    cdef uint32_t at
    for at in range(1, table.next_entry):
        if table.entries[at].block != NULL:
            table.delete(at)


cdef bytes flags_of(object slots):
    # Those of a set of slots; None for all.
    if slots is None:
        return None
    cdef bytes flags = slots.flags
    if flags is None or PyBytes_GET_SIZE(flags) != SLOTS:
        raise ValueError("not a flag for each slot")
    return flags
