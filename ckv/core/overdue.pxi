# Which records have expired. Of each run of entries it is kept when the first of them does: so a pass looks at those runs
# alone of which one has, or of which one that has left since would have. It costs half a byte a record.

cdef enum:
    MOST_PASSED = 0x1000      # runs that are passed by in one piece, in a few us
    MOST_LOOKED_AT = 128      # runs that are looked at
    MOST_OVERDUE = 64         # keys that are found, or a run more


cdef inline void note_end(Table table, uint32_t at, uint64_t expires) noexcept nogil:
    cdef uint64_t *end = &table.ends[at / RUN]
    if end[0] == 0 or expires < end[0]:
        end[0] = expires


# The keys of records that are over, from a run on, and the run behind the last that was looked at.
cdef tuple overdue_from(Table table, uint32_t run):
    cdef uint64_t now = table.now_ms()
    cdef uint32_t last = (table.next_entry - 1) / RUN, looked_at = 0
    cdef list found = []
    if last - run > MOST_PASSED:
        last = run + MOST_PASSED
    while run <= last and looked_at < MOST_LOOKED_AT and len(found) < MOST_OVERDUE:
        if 0 < table.ends[run] <= now:
            looked_at += 1
            table.ends[run] = first_end(table, run, now, found)
        run += 1
    return found, run


# When the first record of a run expires. Adds the keys of those that are over.
cdef uint64_t first_end(Table table, uint32_t run, uint64_t now, list found) except? 0:
    cdef Entry *entry
    cdef uint64_t first = 0, expires
    cdef uint32_t at
    for at in range(run * RUN, min(<uint64_t>(run + 1) * RUN, table.next_entry)):
        entry = &table.entries[at]
        if entry.block == NULL or not entry.flags & EXPIRES:
            continue
        expires = table.expiry_of_entry(entry)
        if first == 0 or expires < first:
            first = expires
        if expires <= now:
            found.append(table.key_at(entry))
    return first
