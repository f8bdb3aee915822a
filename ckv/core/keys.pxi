# Which keys are here. A place in a walk is the number of an entry: a record keeps its entry as long as it is here.

cdef list keys_between(Table table, uint32_t before, uint32_t end):
    # Of the entries behind the one and in front of the other.
    cdef uint32_t at
    return [table.key_at(&table.entries[at]) for at in range(before + 1, end) if table.entries[at].block != NULL]
