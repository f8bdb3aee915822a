# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The requests that memory alone decides, from the bytes of a socket to the bytes of the answers.

A GET of a record that is in the table, a PUT that needs nobody else: these are most of what a node is asked, and for
them no Python object is made. Everything else is handed back, in its order: what the store has to decide, what is
no GET, PUT, DEL or EXISTS, what is wrong. The session (:mod:`ckv.protocol.msgpackrpc`) does the same for every request;
it is the twin of this module, and the contract. :mod:`ckv.protocol.quick` is where the two meet. The loops are in
``windows.pxi``.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ckv.core cimport buffer as buffers
from ckv.core.buffer cimport KEPT_BYTES, Buffer, append, empty, end_of, has_room, set_end, slice_of
from ckv.core.deciding cimport (
    CUT, ENOUGH, ENOUGH_BYTES, LARGE, LARGE_BYTES, LEFT, MAX_ANSWER_HEAD_BYTES, NO, NONE, OTHER, VALUE, WINDOW, Outcome, Why,
    decide, is_enough,
)
from ckv.core.msgpackrpc cimport (
    msgid_of, pass_by, read_batch, read_call, read_head, read_request, write_array, write_found, write_head, write_not_found,
)
from ckv.core.prefetch cimport hash_key, prefetch
from ckv.core.records cimport MAX_KEY_BYTES, TEXT, Entry, Table
from ckv.core.request cimport GET, PUT, UNNOTED, Input, Request, input_of
from ckv.core.times cimport KINDS, LOOKING, ONE_OF, Times, seconds_now, set_bounds, told, took

cdef enum:
    ARRIVING_BYTES = 64 * 1024  # beyond, a value is worth a place of its own while it arrives
    CRLF_BYTES = 0


@cython.final
cdef class Server:
    cdef Table table
    cdef Table absent     # keys that are known to have no record
    cdef Buffer out       # the answers to one session, or a part of them
    cdef readonly uint64_t requests  # requests that were answered here, since the start
    cdef bint counts_calls           # whether each session is told how many of its own, by its `calls`
    cdef Why why          # the rest of the bytes was not answered
    cdef bint stop        # the session has something to do before what is behind
    cdef object sample    # takes note of a key that was asked for; how many further requests to pass over
    cdef public int64_t to_skip  # requests to pass over before that
    cdef Times times
    cdef uint64_t max_value_bytes
    # The bounds of a BATCH: its requests, their values in all and each, and its msgid.
    cdef uint32_t batch_requests
    cdef uint64_t batch_bytes
    cdef uint64_t bulky_bytes
    cdef uint64_t last_batch

    def __cinit__(self, Table table not None, Table absent not None, *, uint64_t max_value_bytes,
                  uint32_t batch_requests, uint64_t batch_bytes, uint64_t bulky_bytes, uint64_t last_batch):
        self.table = table
        self.absent = absent
        self.max_value_bytes = max_value_bytes
        self.batch_requests = batch_requests
        self.batch_bytes = batch_bytes
        self.bulky_bytes = bulky_bytes
        self.last_batch = last_batch
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

    def count_calls(self, bint counts):
        self.counts_calls = counts

    def serve_all(self, list inbox not None):
        return serve_sessions(self, inbox)

    # A BATCH of such requests alone; whether it is one.
    cdef bint several(self, Input *input, object session) except -1:
        cdef Request head
        cdef Request window[WINDOW]
        cdef const uint8_t *calls[WINDOW + 1]
        cdef const uint8_t *start = input.at
        cdef uint32_t count = self.look(input, &head), size, done, answered, i
        cdef uint64_t left = self.batch_bytes
        cdef Outcome outcome
        if count > self.batch_requests or not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):
            input.at = start
            return False
        set_end(&self.out, write_array(write_head(end_of(&self.out), head.msgid, head.msgid_bytes), count))
        self.requests += count
        for done in range(0, count, WINDOW):
            size = min(WINDOW, count - done)
            for i in range(size):
                calls[i] = input.at
                read_call(input, &window[i])
                hash_key(self.table, &window[i])
            calls[size] = input.at
            prefetch(self.table, window, size)
            for i in range(size):
                outcome = self.carry_out(&window[i], min(self.bulky_bytes, left))
                if outcome > LARGE:
                    if outcome == VALUE:
                        left -= self.table.entries[window[i].at].value_bytes
                    continue
                answered = done + i
                if outcome == OTHER:
                    answered += 1
                    window[i].kind = UNNOTED
                    result, going_on = session.ask_call(msgid_of(&head) + answered, slice_of(calls[i], calls[i + 1]))
                    append(&self.out, result)
                    if going_on:
                        continue
                note(self, window, answered - done, kinds_of(window, answered - done))
                input.at = calls[answered - done]
                self.leave(input, session, msgid_of(&head) + 1 + answered, count - answered)
                return True
            note(self, window, size, kinds_of(window, size))
        return True

    # Reads what is in front of the requests of a BATCH. Returns how many there are, UINT32_MAX if it is for Python.
    cdef uint32_t look(self, Input *input, Request *head) noexcept:
        cdef Request request
        cdef uint32_t parts, i
        cdef const uint8_t *calls
        if not read_head(input, head) or not read_batch(input, &parts) or parts & 1 or msgid_of(head) > self.last_batch:
            return UINT32_MAX
        calls = input.at
        for i in range(parts // 2):
            if not read_call(input, &request) or request.key_bytes > MAX_KEY_BYTES:
                return UINT32_MAX
        input.at = calls
        return parts // 2

    # The last `count` requests of a BATCH get nil: each is answered by itself, later, the first with this msgid.
    cdef bint leave(self, Input *input, object session, uint64_t msgid, uint32_t count) except False:
        cdef list rest = []
        cdef const uint8_t *start
        cdef Request request
        cdef uint32_t i
        self.stop = True
        for i in range(count):
            start = input.at
            read_call(input, &request)
            rest.append(slice_of(start, input.at))
        append(&self.out, b"\xc0" * count)
        session.put_off_calls(msgid, rest)
        return True

    def arrived(self, Arriving arriving not None):
        self.out.length = 0
        hash_key(self.table, &arriving.request)
        if not self.answer(&arriving.request, None):
            return None
        arriving.request.block = NULL  # it is the table's
        note(self, &arriving.request, 1, one_of(&arriving.request))
        self.requests += 1
        return slice_of(self.out.data, end_of(&self.out))

    # Answers a request that is a message of its own, if memory decides it. Otherwise nothing was written.
    cdef inline bint answer(self, Request *request, object session) noexcept:
        cdef size_t before = self.out.length
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):
            return False
        set_end(&self.out, write_head(end_of(&self.out), request.msgid, request.msgid_bytes))
        if self.carry_out(request, UINT32_MAX) > LARGE:
            return True
        self.out.length = before
        return False

    # Carries a request out, whose value may have so many bytes, and writes its result; it is to be noted then.
    cdef Outcome carry_out(self, Request *request, uint64_t max_bytes) noexcept:
        cdef Outcome outcome = decide(self.table, self.absent, &self.out, request, self.max_value_bytes, max_bytes)
        cdef uint8_t *to = end_of(&self.out)
        cdef Entry *entry
        if outcome <= LARGE:
            return outcome
        if outcome == VALUE:
            entry = &self.table.entries[request.at]
            to = write_found(to, entry.value_bytes, entry.flags & TEXT)
            memcpy(to, self.table.value_of(entry), entry.value_bytes)
            to += entry.value_bytes
        elif outcome == NONE:
            to = write_not_found(to)
        else:
            to[0] = 0xC2 if outcome == NO else 0xC3
            to += 1
        set_end(&self.out, to)
        return outcome


# Has the value of a large PUT that has not arrived as a whole put where it will stay; whether it is one.
cdef bint begin(Server server, const uint8_t *start, const uint8_t *end, object session) except -1:
    cdef Request request
    cdef Input input = Input(start, end, False)
    cdef Arriving arriving
    request.value_bytes = 0
    if not read_head(&input, &request) or read_call(&input, &request) or not input.cut:
        return False
    if not ARRIVING_BYTES < request.value_bytes <= server.max_value_bytes or request.key_bytes > MAX_KEY_BYTES:
        return False
    arriving = Arriving(server.table, slice_of(start, request.value))
    if arriving.request.block == NULL:
        return False
    arriving.take(slice_of(request.value, end))
    session.arrives(arriving)
    return True


# What a primary asks is always for this node.
cdef inline bint is_served(Server _server, const Request *_request) noexcept:
    return True


cdef inline uint8_t *write_value_head(uint8_t *to, const Request *request, uint32_t size, bint text) noexcept nogil:
    return write_found(write_head(to, request.msgid, request.msgid_bytes), size, text)


include "windows.pxi"
include "arriving.pxi"
