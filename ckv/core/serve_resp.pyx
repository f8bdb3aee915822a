# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The requests of Redis clients that memory alone decides, from the bytes of a socket to the bytes of the answers.

GET, SET without options, DEL and EXISTS of one key, and PING: the same as :mod:`ckv.core.serve` for the other protocol, over
the same table. Its twin is the session (:mod:`ckv.protocol.resp.session`). It is given the bytes of a session that owes
nobody an answer, and stops where one has to wait, for answers leave in the order of the requests.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free

from ckv.core cimport buffer as buffers
from ckv.core.buffer cimport KEPT_BYTES, Buffer, append, empty, end_of, has_room, set_end, slice_of
from ckv.core.deciding cimport (
    CUT, ENOUGH, ENOUGH_BYTES, LARGE_BYTES, LEFT, WINDOW, Why, is_nowhere, may_delete, put,
)
from ckv.core.prefetch cimport hash_key, prefetch
from ckv.core.records cimport MAX_KEY_BYTES, Entry, Table
from ckv.core.request cimport DEL, EXISTS, GET, PING, PUT, Input, Request, input_of
from ckv.core.resp cimport (
    MAX_ANSWER_HEAD_BYTES, pass_by, read_request, write_bulk, write_bytes, write_flag, write_size,
)

cdef enum Decision:
    DONE      # the answer was written
    MISSED    # the answer is that there is no value, which only the session can spell
    OTHER     # nothing was done: it is not for memory alone to decide


@cython.final
cdef class RespServer:
    cdef Table table
    cdef Table absent     # keys that are known to have no record
    cdef Buffer out       # the answers to one session, or a part of them
    cdef Why why          # the rest of the bytes was not answered
    cdef uint64_t max_value_bytes

    def __cinit__(self, Table table not None, Table absent not None, *, uint64_t max_value_bytes):
        self.table = table
        self.absent = absent
        self.max_value_bytes = max_value_bytes
        if not buffers.start(&self.out, KEPT_BYTES):
            raise MemoryError

    def __dealloc__(self):
        free(self.out.data)

    def serve_all(self, list inbox not None):
        cdef list outcomes = []
        cdef Request window[WINDOW]
        cdef Input inputs[WINDOW]
        cdef bint lone[WINDOW]
        cdef Py_ssize_t first = 0, count = len(inbox), length = 0
        cdef int size, i
        while first < count and length < ENOUGH_BYTES:
            size = <int>min(WINDOW, count - first)
            # Most clients send one request and wait for its answer, so the window reaches over sessions.
            for i in range(size):
                inputs[i] = input_of(<bytes?>(<tuple?>inbox[first + i])[1])
                lone[i] = self.read(&inputs[i], &window[i]) and inputs[i].at == inputs[i].end
                if not lone[i]:
                    window[i].hash = 0
            prefetch(self.table, window, size)
            for i in range(size):
                session, data = <tuple>inbox[first + i]
                answers = self.large(&window[i]) if lone[i] else None
                if answers is None:
                    self.out.length = 0
                    if not lone[i] or not self.is_answered(&window[i], session):
                        inputs[i] = input_of(<bytes>data)
                        self.serve(&inputs[i], session)
                    answers = slice_of(self.out.data, end_of(&self.out))
                outcomes.append(answers if inputs[i].at == inputs[i].end else
                                (answers, PyBytes_GET_SIZE(data) - (inputs[i].end - inputs[i].at), self.why))
                length += PyBytes_GET_SIZE(answers)
                if length >= ENOUGH_BYTES:
                    break
            first += size
        empty(&self.out)
        return outcomes

    # All that memory decides, and what Python answers between.
    cdef bint serve(self, Input *input, object session) except False:
        cdef const uint8_t *start
        while input.at < input.end:
            if self.out.length >= ENOUGH_BYTES:
                self.why = ENOUGH
                break
            if self.run(input, session):
                continue
            start = input.at
            if not input.cut and pass_by(input, self.table.may_put):
                answers, going_on = session.ask(slice_of(start, input.at))
                append(&self.out, answers)
                if going_on:
                    continue
            else:
                input.at = start
            self.why = CUT if input.cut else LEFT
            break
        return True

    # A request that is known, with a key short enough for the table. Else `at` stays where it was.
    cdef inline bint read(self, Input *input, Request *request) noexcept:
        cdef const uint8_t *start = input.at
        if read_request(input, request) and request.key_bytes <= MAX_KEY_BYTES:
            hash_key(self.table, request)
            return True
        input.at = start
        return False

    # Such requests up to the first that is not answered; whether there was one that was.
    cdef bint run(self, Input *input, object session) except -1:
        cdef Request window[WINDOW]
        cdef const uint8_t *starts[WINDOW]
        cdef const uint8_t *start = input.at
        cdef int size = WINDOW, i
        while size == WINDOW:
            size = 0
            while size < WINDOW:
                starts[size] = input.at
                if not self.read(input, &window[size]):
                    break
                size += 1
            prefetch(self.table, window, size)
            for i in range(size):
                if self.out.length >= ENOUGH_BYTES or not self.is_answered(&window[i], session):
                    input.at = starts[i]
                    input.cut = False
                    return input.at > start
        return input.at > start

    # Answers a request, if memory decides it. Otherwise nothing was written.
    cdef inline bint is_answered(self, Request *request, object session) except -1:
        cdef Decision decision = self.decide(request)
        if decision == MISSED:
            append(&self.out, <bytes?>session.nil)
        return decision != OTHER

    # The answer to a GET with a large value, written where it is to be; None for any other request.
    cdef bytes large(self, const Request *request):
        cdef Table table = self.table
        cdef uint8_t[MAX_ANSWER_HEAD_BYTES] head
        cdef uint32_t at = table.find(request.key, request.key_bytes, request.hash)
        cdef Entry *entry = &table.entries[at]
        cdef bytes answer
        if request.kind != GET or not at or table.is_over_entry(entry) or entry.value_bytes < LARGE_BYTES:
            return None
        answer = PyBytes_FromStringAndSize(NULL, write_size(head, entry.value_bytes) - head + entry.value_bytes + 2)
        write_bulk(<uint8_t *>PyBytes_AS_STRING(answer), table.value_of(entry), entry.value_bytes)
        table.used(at)
        table.hits += 1
        return answer

    # Writes the answer; unless it is DONE, nothing was written.
    cdef Decision decide(self, Request *request) noexcept:
        cdef Table table = self.table
        cdef uint32_t at
        cdef uint8_t *to
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):  # first, for what is done cannot be undone
            return OTHER
        to = end_of(&self.out)
        if request.kind == PING:
            set_end(&self.out, write_bytes(to, b"+PONG\r\n", 7))
            return DONE
        at = table.find(request.key, request.key_bytes, request.hash)
        if request.kind == PUT:
            if not table.may_put or request.value_bytes > self.max_value_bytes or not put(table, request, at):
                return OTHER
            set_end(&self.out, write_bytes(to, b"+OK\r\n", 5))
        elif request.kind == DEL:
            if not may_delete(table, at):
                return OTHER
            if at:
                table.delete(at)
            set_end(&self.out, write_flag(to, at != 0))
        else:
            return self.look_up(table, request, at)
        return DONE

    # The same for a GET or EXISTS.
    cdef inline Decision look_up(self, Table table, const Request *request, uint32_t at) noexcept:
        cdef Entry *entry = &table.entries[at]
        cdef uint8_t *to
        if not at:
            if not is_nowhere(table, self.absent, request):
                return OTHER
            if request.kind == GET:
                return MISSED
            set_end(&self.out, write_flag(end_of(&self.out), False))
            return DONE
        if table.is_over_entry(entry):
            return OTHER
        if request.kind == GET:
            if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES + <size_t>entry.value_bytes):
                return OTHER
            to = write_bulk(end_of(&self.out), table.value_of(entry), entry.value_bytes)
        else:
            to = write_flag(end_of(&self.out), True)
        set_end(&self.out, to)
        table.used(at)
        table.hits += 1
        return DONE
