"""Asks the processor for the memory that a window of requests will need, so that the misses of its caches overlap."""

from libc.stdint cimport uint32_t

from ckv.core.records cimport LFU, LRU, Entry, Table
from ckv.core.request cimport Request

cdef extern from * nogil:
    void prefetch_line "__builtin_prefetch"(const void *address)

cdef enum:
    LINE_BYTES = 64  # of the caches


cdef inline void hash_key(Table table, Request *request) noexcept:
    request.hash = table.hash_of(request.key, request.key_bytes)
    prefetch_line(&table.buckets[table.bucket_of(request.hash)])


# Not for a single one, for which there is nothing to overlap with.
cdef inline void prefetch(Table table, Request *window, int size) noexcept:
    cdef Entry *entry
    cdef uint32_t at
    cdef int i
    if size == 1:
        return
    for i in range(size):
        window[i].at = table.buckets[table.bucket_of(window[i].hash)]
        prefetch_line(&table.entries[window[i].at])
    for i in range(size):
        at = window[i].at
        while at and table.entries[at].hash != window[i].hash:
            at = table.entries[at].chain
        if at:
            entry = &table.entries[at]
            prefetch_line(entry.block)
            prefetch_line(entry.block + LINE_BYTES)
            if table.policy == LRU or table.policy == LFU:  # a use changes their order
                prefetch_line(&table.entries[entry.before])
                prefetch_line(&table.entries[entry.after])
