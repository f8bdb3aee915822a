"""What memory alone decides of a request, whichever protocol it came in: where it may, and what becomes of the record.

The store says what it may decide at the moment, by the flags `may_put`, `may_add`, `may_drop` and `may_miss` of the table.
"""

from libc.stdint cimport uint32_t, uint64_t

from cpython.bytes cimport PyBytes_GET_SIZE

from ckv.core.buffer cimport Buffer, has_room
from ckv.core.records cimport CLEAN, EXPIRES, TEXT, Entry, Table
from ckv.core.request cimport DEL, GET, PUT, Request


cdef enum:
    # The bounds of a loop over requests.
    WINDOW = 32                # requests whose memory is asked for together
    ENOUGH_BYTES = 256 * 1024  # of answers in one call: they have to be sent before there are more
    LARGE_BYTES = 16 * 1024    # from here on a value is worth not being copied twice

    MAX_ANSWER_HEAD_BYTES = 16 # of anything in front of a value or behind it, in any protocol, and of an answer without

cdef enum Why:
    LEFT, CUT, ENOUGH  # as ckv.protocol.handler has them

cdef enum Outcome:
    OTHER     # nothing was done: it is not for memory alone to decide
    LARGE     # nothing was done: the value is too large
    STORED
    YES, NO   # whether there was a record
    VALUE     # that of the entry `at`
    NONE      # there is no record, and so no value


# Whether answers are so many bytes, with those that are there, that they have to be sent first.
cdef inline bint is_enough(const Buffer *out, bytes answers) noexcept:
    return out.length + PyBytes_GET_SIZE(answers) >= ENOUGH_BYTES


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


# The same, and nothing is counted.
cdef inline bint is_known_absent(Table table, Table absent, const Request *request) noexcept:
    return table.may_miss or absent.find(request.key, request.key_bytes, absent.hash_of(request.key, request.key_bytes)) != 0


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
            table.put_out(victim)
        if not table.insert(request.key, request.key_bytes, request.hash, request.value, request.value_bytes, flags,
                            table.version + 1, request.block):
            return False
    table.version += 1
    return True


# Carries a request out. First there is room for its answer, for what is done cannot be undone.
cdef inline Outcome decide(Table table, Table absent, Buffer *out, Request *request, uint64_t max_value_bytes,
                           uint64_t max_answer_bytes) noexcept:
    cdef uint32_t at = table.find(request.key, request.key_bytes, request.hash)
    cdef Entry *entry = &table.entries[at]
    request.at = at
    if not has_room(out, MAX_ANSWER_HEAD_BYTES):
        return OTHER
    if request.kind == PUT:
        if not table.may_put or request.value_bytes > max_value_bytes or not put(table, request, at):
            return OTHER
        return STORED
    if request.kind == DEL:
        if not may_delete(table, at):
            return OTHER
        if at:
            table.delete(at)
        return YES if at else NO
    if not at:
        if not is_nowhere(table, absent, request):
            return OTHER
        return NONE if request.kind == GET else NO
    if table.is_over_entry(entry):
        return OTHER
    if request.kind == GET:
        if entry.value_bytes > max_answer_bytes:
            return LARGE
        if not has_room(out, MAX_ANSWER_HEAD_BYTES + <size_t>entry.value_bytes):
            return OTHER
    table.used(at)
    table.hits += 1
    return VALUE if request.kind == GET else YES
