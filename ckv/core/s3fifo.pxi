# S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, SOSP 2023), but for the part of the small queue, which changes.
# ckv.store.memory.s3fifo says how it works, and has the numbers that are here too. A use raises a counter in the flags of the
# entry, and touches nothing else.
#
# Of a key whose record left the small queue there is a ghost, in a ring. It is found by the bucket of its hash, as entries
# are, and a bucket is split with theirs. By 64 bits of a keyed hash one key is not taken for another.

cdef enum:
    SMALL_QUEUE, MAIN_QUEUE   # the numbers of their lists
    MOST_PASSED_OVER = 512    # records, in some 10 us
    ALL = 1 << 30             # of so many parts of the records the small queue has `small_part`
    FIRST_PART = ALL // 4
    LEAST_PART = ALL // 100 + 1
    MOST_PART = ALL // 20 * 7
    DRIFTING_PART = ALL // 5
    COLD = 24                 # sixteenths of a record that it has more, or less: see ckv.store.memory.s3fifo
    WARM = -16
    LATE = 1

cdef uint32_t GONE = 0xFFFFFFFF  # in the place of a ghost's next one: it is in no bucket


# The entry that leaves next. Whoever asks again finds the counters as this left them, and so the same one.
cdef uint32_t coldest_of(Table table) noexcept nogil:
    cdef Entry *entry
    cdef uint32_t at, passed
    for passed in range(MOST_PASSED_OVER):
        at = first_to_leave(table)
        entry = &table.entries[at]
        if not at or not entry.flags & USES:
            return at
        if entry.flags & MAIN:
            heed(table, entry)
        table.take_out(queue_left(table, entry), at)
        take_a_use(table, entry)
        table.append(MAIN_QUEUE, at)
    at = first_to_leave(table)
    table.entries[at].flags &= ~USES
    return at


cdef inline uint32_t first_to_leave(Table table) noexcept nogil:
    cdef Order *small = &table.lists[SMALL_QUEUE]
    cdef Order *main = &table.lists[MAIN_QUEUE]
    if small.first and (not main.first or <uint64_t>table.in_small * ALL > <uint64_t>table.small_part * table.count):
        return small.first
    return main.first


# What one of the main queue tells whose turn it is: whether it was used since it was here last.
cdef inline void heed(Table table, Entry *entry) noexcept nogil:
    if entry.flags & (WENT_ROUND | USES):
        move_part(table, COLD if (entry.flags & USES) * LEFT_TO_USES == entry.flags & LEFT else WARM)


cdef inline void move_part(Table table, int64_t sixteenths) noexcept nogil:
    cdef int64_t part = table.small_part + sixteenths * (ALL / 16 / (table.count + 1))
    table.small_part = <uint32_t>min(max(part, <int64_t>LEAST_PART), <int64_t>MOST_PART)


# Of one that goes behind all others of the main queue.
cdef inline void take_a_use(Table table, Entry *entry) noexcept nogil:
    cdef uint32_t left = (entry.flags & USES) - USE
    if not entry.flags & MAIN and table.small_part > DRIFTING_PART:
        left = 0
    entry.flags = <uint16_t>((entry.flags & ~(USES | LEFT)) | MAIN | WENT_ROUND | left | left * LEFT_TO_USES)


# The queue for an entry that is new: the main one for a key that left lately. What left before that half of the ghosts
# did is popular again only where popularity changes.
cdef uint32_t queue_of_new(Table table, uint32_t at) noexcept nogil:
    cdef Entry *entry = &table.entries[at]
    cdef uint32_t *link = &table.haunted[table.bucket_of(entry.hash)]
    cdef uint32_t age
    cdef Ghost *ghost
    while link[0]:
        ghost = &table.ghosts[link[0]]
        if ghost.hash == entry.hash and ghost.more_hash == more_hash_of(table, entry):
            age = table.last_ghost - link[0] + (table.ring if link[0] > table.last_ghost else 0)
            link[0] = ghost.chain
            ghost.chain = GONE
            if age > table.ring / 2:
                move_part(table, LATE)
                if table.small_part <= DRIFTING_PART:
                    break
            entry.flags |= MAIN
            return MAIN_QUEUE
        link = &ghost.chain
    table.in_small += 1
    return SMALL_QUEUE


# The queue that an entry leaves.
cdef uint32_t queue_left(Table table, Entry *entry) noexcept nogil:
    if entry.flags & MAIN:
        return MAIN_QUEUE
    table.in_small -= 1
    return SMALL_QUEUE


# The victim leaves a ghost, if it is of the small queue, in place of the oldest one.
cdef void remember(Table table, Entry *entry) noexcept nogil:
    cdef uint32_t at = table.last_ghost + 1, bucket = table.bucket_of(entry.hash)
    if entry.flags & MAIN:
        heed(table, entry)
        return
    if at > table.ring:
        if table.ring < table.count:
            table.ring += 1
            table.ghosts[at].chain = GONE
        else:
            at = 1
    forget_ghost(table, at)
    table.ghosts[at] = Ghost(entry.hash, more_hash_of(table, entry), table.haunted[bucket])
    table.haunted[bucket] = at
    table.last_ghost = at


cdef void forget_ghost(Table table, uint32_t at) noexcept nogil:
    cdef Ghost *ghost = &table.ghosts[at]
    cdef uint32_t *link
    if ghost.chain == GONE:
        return
    link = &table.haunted[table.bucket_of(ghost.hash)]
    while link[0] != at:
        link = &table.ghosts[link[0]].chain
    link[0] = ghost.chain


cdef inline uint32_t more_hash_of(Table table, Entry *entry) noexcept nogil:
    return <uint32_t>(siphash13(table.key_of(entry), entry.key_bytes, table.key0, table.key1) >> 32)


# What grow() does for entries.
cdef void split_haunted(Table table, uint32_t low, uint32_t high) noexcept nogil:
    cdef uint32_t at = table.haunted[low], following, stay = 0, move = 0
    while at:
        following = table.ghosts[at].chain
        if table.ghosts[at].hash & (table.mask + 1):
            table.ghosts[at].chain = move
            move = at
        else:
            table.ghosts[at].chain = stay
            stay = at
        at = following
    table.haunted[low] = stay
    table.haunted[high] = move


# What must hold between calls, for the table's check().
cdef object audit_queues(Table table):
    cdef uint32_t which, at, before, bucket, small = 0, listed = 0, known = 0, there = 0
    for which in range(SMALL_QUEUE, MAIN_QUEUE + 1):
        before, at = 0, table.lists[which].first
        while at:
            assert table.entries[at].before == before, "an order is broken"
            assert (table.entries[at].flags & MAIN != 0) == (which == MAIN_QUEUE), "an entry is in another's queue"
            listed += 1
            small += which == SMALL_QUEUE
            assert listed <= table.count, "an order has an entry too many"
            before, at = at, table.entries[at].after
        assert table.lists[which].last == before, "an order has another end"
    assert listed == table.count, "the order misses an entry"
    assert small == table.in_small, "the small queue is miscounted"
    for bucket in range(table.mask + 1 + table.split):
        at = table.haunted[bucket]
        while at:
            assert table.bucket_of(table.ghosts[at].hash) == bucket, "a ghost is in another's bucket"
            known += 1
            assert known <= table.ring, "a chain has a ghost too many"
            at = table.ghosts[at].chain
    for at in range(1, table.ring + 1):
        there += table.ghosts[at].chain != GONE
    assert there == known, "a ghost is in no bucket"
    assert LEAST_PART <= table.small_part <= MOST_PART, "the small queue has no part"
    assert table.last_ghost <= table.ring <= table.capacity, "the ring is longer than its memory"
