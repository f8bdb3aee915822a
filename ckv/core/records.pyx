# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The records of the memory tier, compactly: one block of bytes for each, and no Python object.

:class:`ckv.store.memory.Memory` is the contract; :mod:`ckv.store.memory.plain` has the same in Python.

- A record is an *entry* of 32 bytes in one array, and a *block* with its version, its key and its value.
- An entry is found by linear hashing (Litwin 1980): each bucket is a chain of entries, and with each record more, one
  bucket is split, so that nothing is ever rehashed as a whole.
- The order of the policy is a list through the entries; LFU and S3-FIFO have several: see lfu.pxi and s3fifo.pxi.
- The arrays are address space that is reserved for the whole capacity. The system gives memory as it is touched, so they
  never move, and nothing is copied when they grow.

Nothing here is left half done when memory is out: what can fail comes before the first change.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from ckv.core.slots cimport SLOTS, slot_of

import os
include "space.pxi"

cdef enum:
    LIST_BYTES = 8            # of an LFU's block
    FIRST_BUCKETS = 16        # a power of two
    OVERHEAD_BYTES = 8 + 32 + 4  # of a record besides its block: malloc's, the entry, the bucket
    GHOST_BYTES = 12 + 4      # more of S3-FIFO's: a place in its ring, and the bucket of that
    RUN = 16                  # entries, of which it is known when the first of them expires: see overdue.pxi

cdef uint64_t MAX_CAPACITY = 0xFFFFFFF0  # 32 bits, with room for what counts one further
cdef uint64_t MAX_VALUE_BYTES = 0xFFFFFFFF
cdef dict POLICIES = {"lru": LRU, "fifo": FIFO, "lfu": LFU, "s3fifo": S3FIFO}


@cython.final
cdef class Table:
    def __cinit__(self, str policy not None, uint64_t capacity, uint64_t max_bytes=0):
        cdef uint64_t buckets = FIRST_BUCKETS
        if not 0 < capacity <= MAX_CAPACITY:
            raise ValueError(f"a table has 1 to {MAX_CAPACITY} records, not {capacity}")
        self.policy = POLICIES[policy]
        self.head = VERSION_BYTES + (LIST_BYTES if self.policy == LFU else 0)
        self.capacity = <uint32_t>capacity
        self.max_bytes = max_bytes
        while buckets <= capacity:
            buckets *= 2
        # Each size is set when its area is there, for __dealloc__() to know.
        self.entries = <Entry *>reserved(&self.entries_size, (capacity + 1) * sizeof(Entry))
        self.buckets = <uint32_t *>reserved(&self.buckets_size, buckets * sizeof(uint32_t))
        self.lists = <Order *>reserved(&self.lists_size, (capacity + 2 if self.policy == LFU else 2) * sizeof(Order))
        self.overhead = OVERHEAD_BYTES
        if self.policy == S3FIFO:
            self.ghosts = <Ghost *>reserved(&self.ghosts_size, (capacity + 1) * sizeof(Ghost))
            self.haunted = <uint32_t *>reserved(&self.haunted_size, buckets * sizeof(uint32_t))
            self.overhead += GHOST_BYTES
            self.small_part = FIRST_PART
        self.ends = <uint64_t *>reserved(&self.ends_size, (capacity / RUN + 1) * sizeof(uint64_t))
        self.now_ms = int  # the beginning of the epoch
        self.mask = FIRST_BUCKETS - 1
        self.next_entry = self.next_list = 1
        self.key0, self.key1 = int.from_bytes(os.urandom(8), "little"), int.from_bytes(os.urandom(8), "little")

    def __dealloc__(self):
        cdef uint32_t at
        if self.entries_size:
            for at in range(1, self.next_entry):
                free(self.entries[at].block)
            munmap(self.entries, self.entries_size)
        if self.buckets_size:
            munmap(self.buckets, self.buckets_size)
        if self.lists_size:
            munmap(self.lists, self.lists_size)
        if self.ends_size:
            munmap(self.ends, self.ends_size)
        if self.ghosts_size:
            munmap(self.ghosts, self.ghosts_size)
        if self.haunted_size:
            munmap(self.haunted, self.haunted_size)
        free(self.watched)
        free(self.noted)

    cdef bint fits(self, uint32_t at, size_t key_bytes, size_t value_bytes) noexcept nogil:
        cdef uint64_t others = self.bytes
        if at:
            others -= self.bytes_of(&self.entries[at])
        return others == 0 or others + rounded(self.head + key_bytes + value_bytes) + self.overhead <= self.max_bytes

    cdef size_t bytes_of(self, Entry *entry) noexcept nogil:
        return malloc_usable_size(entry.block) + self.overhead

    cdef bint store(self, Entry *entry, const uint8_t *value, size_t value_bytes, uint32_t flags,
                    uint64_t version, uint8_t *block=NULL, uint64_t expires=0) noexcept nogil:
        cdef size_t before = self.head + entry.key_bytes
        cdef size_t wanted = rounded(before + value_bytes + expiry_bytes(expires))
        cdef size_t had
        if block == NULL and wanted == rounded(before + entry.value_bytes + expiry_bytes(entry.flags & EXPIRES)):
            block = entry.block
        else:
            had = malloc_usable_size(entry.block)
            if block != NULL:
                memcpy(block, entry.block, self.head)
                free(entry.block)
            else:
                block = <uint8_t *>realloc(entry.block, wanted)
                if block == NULL:
                    return False
            entry.block = block
            self.bytes += malloc_usable_size(block)
            self.bytes -= had
        if value != NULL:
            memcpy(block + before, value, value_bytes)
        (<uint64_t *>(block + self.head - VERSION_BYTES))[0] = version
        self.clean += (flags & CLEAN != 0)
        self.clean -= (entry.flags & CLEAN != 0)
        self.expiring -= (entry.flags & EXPIRES != 0)
        entry.value_bytes = <uint32_t>value_bytes
        entry.flags = <uint16_t>flags | (entry.flags & (NOTED | QUEUED))
        self.set_expiry(entry, expires)
        if self.watched != NULL:
            note(self, <uint32_t>(entry - self.entries))
        return True

    cdef void set_expiry(self, Entry *entry, uint64_t expires) noexcept nogil:
        # Of one that had none; there is room behind the value.
        if expires:
            memcpy(self.value_of(entry) + entry.value_bytes, &expires, EXPIRY_BYTES)
            entry.flags |= EXPIRES
            self.expiring += 1
            note_end(self, <uint32_t>(entry - self.entries), expires)

    cdef bint has_passed(self, uint64_t expires) noexcept:
        cdef uint64_t now = self.now or <uint64_t>self.now_ms()
        if self.is_in_loop:
            self.now = now
        return expires <= now

    cdef uint32_t insert(self, const uint8_t *key, size_t key_bytes, uint32_t hash, const uint8_t *value,
                         size_t value_bytes, uint32_t flags, uint64_t version, uint8_t *block=NULL,
                         uint64_t expires=0) noexcept nogil:
        cdef uint32_t at = self.free_entry, bucket, which = 0
        if block == NULL:
            block = self.new_block(key, key_bytes, value_bytes + expiry_bytes(expires))
        if block == NULL:
            return 0
        if value != NULL:
            memcpy(block + self.head + key_bytes, value, value_bytes)
        if at:
            self.free_entry = self.entries[at].chain
        else:
            at = self.next_entry
            self.next_entry += 1
        bucket = self.bucket_of(hash)
        self.entries[at] = Entry(block, hash, self.buckets[bucket], 0, 0, <uint32_t>value_bytes, <uint16_t>key_bytes,
                                 <uint16_t>flags)
        self.buckets[bucket] = at
        (<uint64_t *>(block + self.head - VERSION_BYTES))[0] = version
        if self.policy == LFU:
            which = self.lists[0].more
            if not which or self.lists[which].uses != 1:
                which = new_list(self, 1, 0)
            (<uint64_t *>block)[0] = which
        elif self.policy == S3FIFO:
            which = queue_of_new(self, at)
        self.append(which, at)
        self.set_expiry(&self.entries[at], expires)
        self.count += 1
        self.clean += (flags & CLEAN != 0)
        self.bytes += self.bytes_of(&self.entries[at])
        if self.count > self.mask + self.split:
            self.grow()
        if self.watched != NULL:
            note(self, at)
        return at

    cdef uint8_t *new_block(self, const uint8_t *key, size_t key_bytes, size_t value_bytes) noexcept nogil:
        cdef uint8_t *block = <uint8_t *>malloc(rounded(self.head + key_bytes + value_bytes))
        if block != NULL:
            memcpy(block + self.head, key, key_bytes)
        return block

    cdef void delete(self, uint32_t at) noexcept nogil:
        cdef Entry *entry = &self.entries[at]
        cdef uint32_t *link = &self.buckets[self.bucket_of(entry.hash)]
        cdef uint32_t which = 0
        while link[0] != at:
            link = &self.entries[link[0]].chain
        link[0] = entry.chain
        if self.policy == LFU:
            which = <uint32_t>(<uint64_t *>entry.block)[0]
        elif self.policy == S3FIFO:
            which = queue_left(self, entry)
        self.take_out(which, at)
        if self.policy == LFU and not self.lists[which].first:
            drop_list(self, which)
        self.count -= 1
        self.clean -= (entry.flags & CLEAN != 0)
        self.expiring -= (entry.flags & EXPIRES != 0)
        self.bytes -= self.bytes_of(entry)
        free(entry.block)
        entry.block = NULL
        entry.chain = self.free_entry
        self.free_entry = at

    cdef void put_out(self, uint32_t victim) noexcept nogil:
        if self.policy == S3FIFO:
            remember(self, &self.entries[victim])
        self.delete(victim)
        self.evicted += 1

    cdef void grow(self) noexcept nogil:
        # One bucket more than there are records at most; those of `low` whose next bit is set move to `high`.
        cdef uint32_t low = self.split, high = self.split + self.mask + 1
        cdef uint32_t at = self.buckets[low], following, stay = 0, move = 0
        while at:
            following = self.entries[at].chain
            if self.entries[at].hash & (self.mask + 1):
                self.entries[at].chain = move
                move = at
            else:
                self.entries[at].chain = stay
                stay = at
            at = following
        self.buckets[low] = stay
        self.buckets[high] = move
        if self.policy == S3FIFO:
            split_haunted(self, low, high)
        self.split += 1
        if self.split > self.mask:
            self.mask = 2 * self.mask + 1
            self.split = 0

    cdef void used_once_more(self, uint32_t at) noexcept nogil:
        to_next_list(self, at)

    cdef uint32_t coldest(self) noexcept nogil:
        return coldest_of(self)

    # --- for Python: ckv.store.memory.Memory says what these do --------------------------------------------------

    cdef uint32_t look_up(self, object key) except? 0:
        cdef Py_ssize_t size
        cdef const char *data
        cdef object owner = as_utf8(key, &data, &size)
        return self.find(<const uint8_t *>data, size, self.hash_of(<const uint8_t *>data, size))

    cdef object key_at(self, Entry *entry):
        return PyUnicode_DecodeUTF8(<const char *>self.key_of(entry), entry.key_bytes, "surrogateescape")

    cdef object value_at(self, Entry *entry):
        cdef const char *value = <const char *>self.value_of(entry)
        if entry.flags & TEXT:
            return PyUnicode_DecodeUTF8(value, entry.value_bytes, "surrogateescape")
        return PyBytes_FromStringAndSize(value, entry.value_bytes)

    cdef tuple record_at(self, Entry *entry):
        return (self.key_at(entry), self.value_at(entry), self.version_of_entry(entry), entry.flags & CLEAN != 0,
                self.expiry_of_entry(entry))

    def get(self, key):
        cdef uint32_t at = self.look_up(key)
        if not at:
            self.misses += 1
            return None
        self.used(at)
        if self.is_over_entry(&self.entries[at]):
            self.misses += 1
            return None
        self.hits += 1
        return self.value_at(&self.entries[at])

    def peek(self, key):
        cdef uint32_t at = self.look_up(key)
        return self.value_at(&self.entries[at]) if at and not self.is_over_entry(&self.entries[at]) else None

    def is_over(self, key):
        cdef uint32_t at = self.look_up(key)
        return at != 0 and self.is_over_entry(&self.entries[at])

    def expires_of(self, key):
        cdef uint32_t at = self.look_up(key)
        return self.expiry_of_entry(&self.entries[at]) if at else 0

    def put(self, key, value, uint64_t version=0, bint clean=False, uint64_t expires=0):
        return put_record(self, key, value, version, clean, expires)

    def overwrite(self, key, value):
        return self.may_put and key in self and self.put(key, value)

    def next_victim(self):
        cdef uint32_t at = self.victim()
        return self.record_at(&self.entries[at]) if at else None

    def evict(self):
        cdef uint32_t at = self.victim()
        if not at:
            raise LookupError("there is no record to evict")
        cdef tuple victim = self.record_at(&self.entries[at])  # which can fail
        self.put_out(at)
        return victim

    def remove(self, key):
        cdef uint32_t at = self.look_up(key)
        if at:
            self.delete(at)
        return at != 0

    def has_room_for(self, key, value, uint64_t expires=0):
        return has_room_for_record(self, key, value, expires)

    def new_version(self):
        self.version += 1
        return self.version

    def version_of(self, key):
        cdef uint32_t at = self.look_up(key)
        return self.version_of_entry(&self.entries[at]) if at else 0

    def is_clean(self, key):
        cdef uint32_t at = self.look_up(key)
        return at != 0 and self.entries[at].flags & CLEAN != 0

    def mark_clean(self, key, uint64_t version):
        cdef uint32_t at = self.look_up(key)
        if at and self.version_of_entry(&self.entries[at]) == version and not self.entries[at].flags & CLEAN:
            self.entries[at].flags |= CLEAN
            self.clean += 1

    def forget_clean(self):
        cdef uint32_t at
        for at in range(1, self.next_entry):
            self.entries[at].flags &= ~CLEAN
        self.clean = 0

    def clear(self):
        delete_all(self)

    def record(self, key):
        cdef uint32_t at = self.look_up(key)
        return self.record_at(&self.entries[at]) if at else None

    def records(self):
        cdef uint32_t at = 0
        while at + 1 < self.next_entry:
            at += 1
            if self.entries[at].block != NULL:
                yield self.record_at(&self.entries[at])

    def keys(self):
        return keys_between(self, 0, self.next_entry, None)

    def walk(self):
        return self

    def overdue(self):
        cdef uint32_t run = 0
        while self.expiring and run <= (self.next_entry - 1) / RUN:
            keys, run = overdue_from(self, run)
            yield keys

    def keys_at(self, uint32_t place, uint32_t count, slots=None, /):
        return keys_between(self, place, end_at(self, place, count), flags_of(slots)), next_place(self, place, count)

    def large_at(self, uint32_t place, uint32_t count, uint64_t at_least, /):
        return large_between(self, place, end_at(self, place, count), at_least), next_place(self, place, count)

    def watch(self, slots):
        watch_slots(self, slots)

    def written(self):
        return noted_keys(self)

    def __len__(self):
        return self.count

    def __contains__(self, key):
        return self.look_up(key) != 0

    def check(self):
        audit(self)


include "keys.pxi"
include "lfu.pxi"
include "noting.pxi"
include "overdue.pxi"
include "putting.pxi"
include "s3fifo.pxi"
include "text.pxi"
include "audit.pxi"
