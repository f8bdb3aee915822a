# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The requests of Redis clients that memory alone decides, from the bytes of a socket to the bytes of the answers.

GET, MGET, SET without options, DEL and EXISTS of one key, and PING: the same as :mod:`ckv.core.serve` for the other protocol,
over the same table. Its twin is the session (:mod:`ckv.protocol.resp.session`). It is given the bytes of a session that owes
nobody an answer, and stops where one has to wait, for answers leave in the order of the requests.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ckv.core cimport buffer as buffers
from ckv.core.buffer cimport KEPT_BYTES, Buffer, append, empty, end_of, has_room, set_end, slice_of
from ckv.core.deciding cimport (
    CUT, ENOUGH, ENOUGH_BYTES, LARGE, LARGE_BYTES, LEFT, MAX_ANSWER_HEAD_BYTES, NO, NONE, STORED, VALUE, WINDOW, Outcome, Why,
    decide, is_enough, is_known_absent,
)
from ckv.core.prefetch cimport hash_key, prefetch
from ckv.core.records cimport MAX_KEY_BYTES, TEXT, Entry, Table
from ckv.core.request cimport GET, PING, UNNOTED, Input, Request, input_of
from ckv.core.resp cimport pass_by, read_bulk, read_mget, read_request, write_bulk, write_bytes, write_flag, write_size
from ckv.core.slots cimport SLOTS, slot_of
from ckv.core.times cimport KINDS, LOOKING, ONE_OF, Times, seconds_now, set_bounds, told, took

cdef enum:
    CRLF_BYTES = 2
    ARRAY = 42  # the mark in front of how many elements there are


@cython.final
cdef class Server:
    cdef Table table
    cdef Table absent     # keys that are known to have no record
    cdef Buffer out       # the answers to one session, or a part of them
    cdef readonly uint64_t requests  # requests that were answered here, since the start
    cdef readonly uint64_t more_keys  # that they named beyond one each
    cdef bint counts_calls           # whether each session is told how many of its own, by its `calls`
    cdef Why why          # the rest of the bytes was not answered
    cdef bint stop        # never
    cdef object sample    # takes note of a key that was asked for; how many further requests to pass over
    cdef public int64_t to_skip  # requests to pass over before that
    cdef Times times
    cdef bytes served     # for each slot whether keys of it are for this node; empty where all are
    cdef uint64_t max_value_bytes

    def __cinit__(self, Table table not None, Table absent not None, *, uint64_t max_value_bytes):
        self.table = table
        self.absent = absent
        self.max_value_bytes = max_value_bytes
        self.served = b""
        self.to_skip = INT64_MAX
        if not buffers.start(&self.out, KEPT_BYTES):
            raise MemoryError

    def __dealloc__(self):
        free(self.out.data)

    def watch(self, sample not None, tuple bounds not None):
        set_bounds(&self.times, bounds)
        self.sample = sample

    def told_times(self):
        return told(&self.times)

    def serve_only(self, bytes served not None):
        if len(served) not in (0, SLOTS):
            raise ValueError("not a byte for each slot")
        self.served = served

    def count_calls(self, bint counts):
        self.counts_calls = counts

    def serve_all(self, list inbox not None):
        return serve_sessions(self, inbox)

    # An MGET, if memory decides all of it; whether it is one. Else nothing was looked up that counts. Where other nodes answer
    # for other keys there is more to say of several.
    cdef bint several(self, Input *input, object session) except -1:
        cdef const uint8_t *start = input.at
        cdef uint64_t count
        cdef Input keys
        if not PyBytes_GET_SIZE(self.served) and read_mget(input, &count):
            keys = input[0]
            if self.are_decided(input, count):
                self.answer_all(&keys, count, session)
                self.requests += 1
                self.more_keys += count - 1
                return True
        input.at = start
        input.cut = False
        return False

    # Whether memory decides a GET of each key, and all values together are few enough bytes.
    cdef bint are_decided(self, Input *keys, uint64_t count) noexcept:
        cdef Request window[WINDOW]
        cdef uint64_t length = 0, done
        cdef uint32_t at
        cdef int size, i
        for done in range(0, count, WINDOW):
            size = <int>min(WINDOW, count - done)
            for i in range(size):
                if not read_bulk(keys, &window[i].key, &window[i].key_bytes) or window[i].key_bytes > MAX_KEY_BYTES:
                    return False
                hash_key(self.table, &window[i])
            prefetch(self.table, window, size)
            for i in range(size):
                at = self.table.find(window[i].key, window[i].key_bytes, window[i].hash)
                if at:
                    length += self.table.entries[at].value_bytes
                    if length > ENOUGH_BYTES or self.table.is_over_entry(&self.table.entries[at]):
                        return False
                elif not is_known_absent(self.table, self.absent, &window[i]):
                    return False
        return True

    cdef bint answer_all(self, Input *keys, uint64_t count, object session) except -1:
        cdef Request request
        cdef uint8_t *start
        cdef uint64_t i
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):
            raise MemoryError
        start = end_of(&self.out)
        set_end(&self.out, write_size(start, <uint32_t>count))
        start[0] = ARRAY
        request.kind = GET
        for i in range(count):
            read_bulk(keys, &request.key, &request.key_bytes)
            request.hash = self.table.hash_of(request.key, request.key_bytes)
            if not self.answer(&request, session):
                raise MemoryError
            note(self, &request, 1, one_of(&request))
        return True

    # Answers a request, if memory decides it. Otherwise nothing was written.
    cdef inline bint answer(self, Request *request, object session) except -1:
        cdef Outcome outcome
        cdef uint8_t *to
        cdef Entry *entry
        if request.kind == PING:
            return append(&self.out, b"+PONG\r\n")
        outcome = decide(self.table, self.absent, &self.out, request, self.max_value_bytes, UINT32_MAX)
        if outcome <= LARGE:
            return False
        to = end_of(&self.out)
        if outcome == VALUE:
            entry = &self.table.entries[request.at]
            to = write_bulk(to, self.table.value_of(entry), entry.value_bytes)
        elif outcome == NONE:
            append(&self.out, <bytes?>session.nil)  # which depends on the version of the protocol
            to = end_of(&self.out)
        elif outcome == STORED:
            to = write_bytes(to, b"+OK\r\n", 5)
        else:
            to = write_flag(to, outcome != NO)
        set_end(&self.out, to)
        return True


cdef inline bint is_served(Server server, const Request *request) noexcept:
    if request.kind == PING or not PyBytes_GET_SIZE(server.served):
        return True
    return PyBytes_AS_STRING(server.served)[slot_of(request.key, request.key_bytes)] != 0


# Nor has a value a place of its own while it arrives.
cdef inline bint begin(Server _server, const uint8_t *_start, const uint8_t *_end, object _session) except -1:
    return False


cdef inline uint8_t *write_value_head(uint8_t *to, const Request *_request, uint32_t size, bint _text) noexcept nogil:
    return write_size(to, size)


include "windows.pxi"
