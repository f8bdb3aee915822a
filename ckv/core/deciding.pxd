"""What memory alone decides of a request, whichever protocol it came in: where it may, and what becomes of the record.

The store says what it may decide at the moment, by the flags `may_put`, `may_add`, `may_drop` and `may_miss` of the table.
"""

from libc.stdint cimport uint32_t

from ckv.core.records cimport CLEAN, EXPIRES, TEXT, Table
from ckv.core.request cimport Request


cdef enum:
    # The bounds of a loop over requests.
    WINDOW = 32                # requests whose memory is asked for together
    ENOUGH_BYTES = 256 * 1024  # of answers in one call: they have to be sent before there are more
    LARGE_BYTES = 16 * 1024    # from here on a value is worth not being copied twice

cdef enum Why:
    LEFT, CUT, ENOUGH  # as ckv.protocol.handler has them


# Whether it is known that nobody has a record of this key, which is not in the table. A look-up that ends so was counted.
cdef inline bint is_nowhere(Table table, Table absent, const Request *request) noexcept:
    cdef uint32_t at
    if table.may_miss:
        table.misses += 1
        return True
    at = absent.find(request.key, request.key_bytes, absent.hash_of(request.key, request.key_bytes))
    if at:
        absent.used(at)
        absent.hits += 1
    return at != 0


# Whether the record of a key, or that there is none, may be deleted: a persistent tier has to know of it.
cdef inline bint may_delete(Table table, uint32_t at) noexcept:
    return table.may_put and table.may_miss and not (at and table.entries[at].flags & EXPIRES)


# Whether the record was stored. Nothing was done when it was not.
cdef inline bint put(Table table, const Request *request, uint32_t at) noexcept:
    cdef uint32_t victim
    cdef uint32_t flags = TEXT if request.text else 0
    if at:
        if not table.has_room(at, request.key_bytes, request.value_bytes):
            return False
        if not table.store(&table.entries[at], request.value, request.value_bytes, flags, table.version + 1,
                           request.block):
            return False
        table.used(at)
    else:
        if not table.may_add:
            return False
        while not table.has_room(0, request.key_bytes, request.value_bytes):
            victim = table.victim()
            if not table.may_drop and not table.entries[victim].flags & CLEAN:
                return False
            table.delete(victim)
            table.evicted += 1
        if not table.insert(request.key, request.key_bytes, request.hash, request.value, request.value_bytes, flags,
                            table.version + 1, request.block):
            return False
    table.version += 1
    return True
