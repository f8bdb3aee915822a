# What is written in the slots that are watched, and is not clean, is noted.

cdef enum:
    FIRST_NOTED = 256         # entries for which there is room at first
    MOST_NOTED = 0x20000000


cdef bint watch_slots(Table table, object slots) except False:
    cdef bytes flags = flags_of(slots)
    cdef uint8_t *watched = NULL
    if flags is not None:
        watched = <uint8_t *>malloc(SLOTS)
        if watched == NULL:
            raise MemoryError
        memcpy(watched, PyBytes_AS_STRING(flags), SLOTS)
    forget_noted(table)
    free(table.watched)
    free(table.noted)
    table.watched = watched
    table.noted = NULL
    table.noted_room = 0
    return True


cdef list noted_keys(Table table):
    cdef list found = []
    cdef bytes watched
    cdef Entry *entry
    cdef uint32_t i
    if table.noted_all:
        watched = PyBytes_FromStringAndSize(<const char *>table.watched, SLOTS)
        found = keys_between(table, 0, table.next_entry, watched, True)
    else:
        try:
            for i in range(table.noted_count):
                entry = &table.entries[table.noted[i]]
                if entry.block != NULL and entry.flags & NOTED and not entry.flags & CLEAN:
                    entry.flags &= ~NOTED  # it may stand there twice, for two records that it was
                    found.append(table.key_at(entry))
        except MemoryError:
            table.noted_all = True
            raise
    forget_noted(table)
    return found


# The record of this entry was written.
cdef void note(Table table, uint32_t at) noexcept nogil:
    cdef Entry *entry = &table.entries[at]
    if entry.flags & (CLEAN | NOTED) or not table.watched[slot_of(table.key_of(entry), entry.key_bytes)]:
        return
    if has_room_to_note(table):
        table.noted[table.noted_count] = at
        table.noted_count += 1
        entry.flags |= NOTED
    else:
        table.noted_all = True


cdef bint has_room_to_note(Table table) noexcept nogil:
    cdef uint32_t room
    cdef uint32_t *noted
    if table.noted_count < table.noted_room:
        return True
    if table.noted_all or table.noted_count > table.capacity or table.noted_count > MOST_NOTED:
        return False  # by then it is as quick to look at all records
    room = 2 * table.noted_room + FIRST_NOTED
    noted = <uint32_t *>realloc(table.noted, room * sizeof(uint32_t))
    if noted == NULL:
        return False
    table.noted = noted
    table.noted_room = room
    return True


cdef void forget_noted(Table table) noexcept nogil:
    cdef uint32_t i
    for i in range(table.noted_count):
        table.entries[table.noted[i]].flags &= ~NOTED
    table.noted_count = 0
    table.noted_all = False
