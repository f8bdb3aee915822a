"""The table of records, for the other modules of the core. ``records.pyx`` says how it works."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy


cdef extern from "siphash.h" nogil:
    uint64_t siphash13(const void *data, size_t bytes, uint64_t key0, uint64_t key1)


cdef enum Policy:
    LRU, FIFO, LFU, S3FIFO

cdef enum:
    # The flags of an entry.
    TEXT = 1     # the value is a str, not a bin
    CLEAN = 2    # the persistent tier has this version
    EXPIRES = 4  # behind the value stands when, in milliseconds of the epoch
    NOTED = 8    # among those that written() tells
    MAIN = 16    # of S3-FIFO: in its main queue, not in the small one
    USE = 32     # of S3-FIFO: one use, of 0 to 3
    USES = 96
    LEFT = 384   # of S3-FIFO: the uses that were left to it when it went behind all others of the main queue
    LEFT_TO_USES = 4
    WENT_ROUND = 512  # of S3-FIFO: it did
    QUEUED = MAIN | USES | LEFT | WENT_ROUND

cdef enum:
    MAX_KEY_BYTES = 1024
    VERSION_BYTES = 8
    EXPIRY_BYTES = 8

# Numbers of entries and lists begin at 1; 0 stands for none.

cdef struct Entry:
    # Two to a line of the cache. A free one has no block, and `chain` has the next free one.
    uint8_t *block        # an LFU's number of the list (8 bytes), the version, the key, the value, perhaps the expiry
    uint32_t hash
    uint32_t chain        # the next entry of the bucket
    uint32_t before       # neighbours in the order of the policy
    uint32_t after
    uint32_t value_bytes
    uint16_t key_bytes
    uint16_t flags

cdef struct Order:
    # Entries from the next victim on. An LFU has a list for each number of uses; S3-FIFO has its small queue as number 0 and
    # its main one as number 1; the others have number 0 alone.
    uint64_t uses
    uint32_t first
    uint32_t last
    uint32_t fewer        # neighbours among the lists; those of number 0 are the most and the fewest
    uint32_t more

cdef struct Ghost:
    # Of a key whose record left the small queue of S3-FIFO: 64 bits of its hash, and the next one of its bucket.
    uint32_t hash
    uint32_t more_hash
    uint32_t chain


@cython.final
cdef class Table:
    cdef Entry *entries
    cdef uint32_t *buckets
    cdef Order *lists
    cdef size_t entries_size
    cdef size_t buckets_size
    cdef size_t lists_size
    cdef uint64_t *ends        # of each run of entries: when the first of them expires, or one did that was here; 0 for never
    cdef size_t ends_size
    cdef Ghost *ghosts         # a ring from number 1 on
    cdef size_t ghosts_size
    cdef uint32_t *haunted     # for each bucket its first ghost
    cdef size_t haunted_size
    cdef uint32_t ring         # ghosts that the ring has room for by now: no more than there were records at a time
    cdef uint32_t last_ghost   # the newest
    cdef uint32_t in_small     # entries in the small queue
    cdef uint32_t small_part   # what it has of all entries at most, as long as there is another victim
    cdef uint32_t mask         # of the buckets that were there when this round of splits began
    cdef uint32_t split        # the bucket that is split next
    cdef uint32_t free_entry
    cdef uint32_t next_entry   # the first that was never used
    cdef uint32_t free_list
    cdef uint32_t next_list
    cdef uint64_t key0
    cdef uint64_t key1
    cdef Policy policy
    cdef size_t head           # bytes of a block before its key
    cdef size_t overhead       # bytes of a record besides its block
    cdef readonly uint32_t capacity
    cdef readonly uint32_t count
    cdef readonly uint32_t clean
    cdef readonly uint32_t expiring
    cdef readonly uint64_t max_bytes
    cdef readonly uint64_t bytes
    cdef readonly uint64_t version
    cdef readonly uint64_t hits
    cdef readonly uint64_t misses
    cdef readonly uint64_t evicted
    cdef public bint may_put
    cdef public bint may_add
    cdef public bint may_drop
    cdef public bint may_miss
    cdef public object now_ms  # the time of day, for what expires
    cdef bint is_in_loop       # a call of a serve loop is at work, which asks for the time once
    cdef uint64_t now          # what that was, in milliseconds of the epoch; 0 as long as it has not asked
    cdef uint8_t *watched      # for each slot whether to note what is written of it; NULL while nothing is
    cdef uint32_t *noted       # entries that were written, and perhaps are others by now
    cdef uint32_t noted_count
    cdef uint32_t noted_room
    cdef bint noted_all        # there was no room to note one

    # No number or pointer that these give outlives the next call that stores, inserts or deletes.

    cdef inline uint32_t hash_of(self, const uint8_t *key, size_t size) noexcept nogil:
        return <uint32_t>siphash13(key, size, self.key0, self.key1)

    cdef inline uint32_t bucket_of(self, uint32_t hash) noexcept nogil:
        cdef uint32_t bucket = hash & self.mask
        return bucket if bucket >= self.split else hash & (2 * self.mask + 1)

    cdef inline uint8_t *key_of(self, Entry *entry) noexcept nogil:
        return entry.block + self.head

    cdef inline uint8_t *value_of(self, Entry *entry) noexcept nogil:
        return entry.block + self.head + entry.key_bytes

    cdef inline uint64_t version_of_entry(self, Entry *entry) noexcept nogil:
        return (<uint64_t *>(entry.block + self.head - VERSION_BYTES))[0]

    # What stands behind the value: 0 where nothing does.
    cdef inline uint64_t expiry_of_entry(self, Entry *entry) noexcept nogil:
        cdef uint64_t expires = 0
        if entry.flags & EXPIRES:  # wherever the value ends
            memcpy(&expires, self.value_of(entry) + entry.value_bytes, EXPIRY_BYTES)
        return expires

    # Whether the record is over. Where none expires, this costs a look at a flag that the caller has at hand.
    cdef inline bint is_over_entry(self, Entry *entry) noexcept:
        return entry.flags & EXPIRES and self.has_passed(self.expiry_of_entry(entry))

    # The number of the entry with this key, 0 for none.
    cdef inline uint32_t find(self, const uint8_t *key, size_t size, uint32_t hash) noexcept nogil:
        cdef uint32_t at = self.buckets[self.bucket_of(hash)]
        cdef Entry *entry
        while at:
            entry = &self.entries[at]
            if entry.hash == hash and entry.key_bytes == size and memcmp(self.key_of(entry), key, size) == 0:
                return at
            at = entry.chain
        return 0

    cdef inline void append(self, uint32_t which, uint32_t at) noexcept nogil:
        cdef Order *order = &self.lists[which]
        cdef Entry *entry = &self.entries[at]
        entry.before = order.last
        entry.after = 0
        if order.last:
            self.entries[order.last].after = at
        else:
            order.first = at
        order.last = at

    cdef inline void take_out(self, uint32_t which, uint32_t at) noexcept nogil:
        cdef Order *order = &self.lists[which]
        cdef Entry *entry = &self.entries[at]
        if entry.before:
            self.entries[entry.before].after = entry.after
        else:
            order.first = entry.after
        if entry.after:
            self.entries[entry.after].before = entry.before
        else:
            order.last = entry.before

    # The entry was used once more.
    cdef inline void used(self, uint32_t at) noexcept nogil:
        if self.policy == LRU:
            if self.lists[0].last != at:
                self.take_out(0, at)
                self.append(0, at)
        elif self.policy == LFU:
            self.used_once_more(at)
        elif self.policy == S3FIFO and self.entries[at].flags & USES != USES:
            self.entries[at].flags += USE

    # The entry that has to leave next, 0 when there is none. It stays the same one until something else is called.
    cdef inline uint32_t victim(self) noexcept nogil:
        if self.policy == S3FIFO:
            return self.coldest()
        return self.lists[self.lists[0].more].first

    # Whether a value of this size finds room without a victim, with its expiry, for the entry `at` or, with 0, a new one.
    # A single record has room always, however large it is.
    cdef inline bint has_room(self, uint32_t at, size_t key_bytes, size_t value_bytes) noexcept nogil:
        if not at and self.count >= self.capacity:
            return False
        return self.max_bytes == 0 or self.fits(at, key_bytes, value_bytes)

    # Another value for an entry, which does not count as a use. False, and nothing is changed, when memory is out.
    # The caller has raised `self.version`, and has looked for room. `expires` makes the flag EXPIRES. With a block of new_block(), the value NULL is in it
    # already; it is the table's from then on.
    cdef bint store(self, Entry *entry, const uint8_t *value, size_t value_bytes, uint32_t flags,
                    uint64_t version, uint8_t *block=*, uint64_t expires=*) noexcept nogil

    # A new entry, which has been used once; 0 when memory is out. The key is not here, and there is room.
    cdef uint32_t insert(self, const uint8_t *key, size_t key_bytes, uint32_t hash, const uint8_t *value,
                         size_t value_bytes, uint32_t flags, uint64_t version, uint8_t *block=*,
                         uint64_t expires=*) noexcept nogil

    # Memory for a record, with its key; NULL when memory is out.
    cdef uint8_t *new_block(self, const uint8_t *key, size_t key_bytes, size_t value_bytes) noexcept nogil

    cdef void delete(self, uint32_t at) noexcept nogil

    # Deletes the victim, and counts it.
    cdef void put_out(self, uint32_t victim) noexcept nogil

    # Private.
    cdef bint has_passed(self, uint64_t expires) noexcept
    cdef void set_expiry(self, Entry *entry, uint64_t expires) noexcept nogil
    cdef size_t bytes_of(self, Entry *entry) noexcept nogil
    cdef bint fits(self, uint32_t at, size_t key_bytes, size_t value_bytes) noexcept nogil
    cdef void grow(self) noexcept nogil
    cdef void used_once_more(self, uint32_t at) noexcept nogil
    cdef uint32_t coldest(self) noexcept nogil
    cdef uint32_t look_up(self, object key) except? 0
    cdef object key_at(self, Entry *entry)
    cdef object value_at(self, Entry *entry)
    cdef tuple record_at(self, Entry *entry)
