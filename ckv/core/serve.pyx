# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The requests that memory alone decides, from the bytes of a socket to the bytes of the answers.

A GET of a record that is in the table, a PUT that needs nobody else: these are most of what a node is asked, and for
them no Python object is made. Everything else is handed back, in its order: what the store has to decide, what is
no GET, PUT, DEL or EXISTS, what is wrong. The session (:mod:`ckv.protocol.msgpackrpc`) does the same for every request;
it is the twin of this module, and the contract. :mod:`ckv.protocol.quick` is where the two meet.

Requests are taken in windows. First all of a window are read and their keys hashed, and the processor is asked for the
memory that each will need; then they are answered. So the misses of its caches overlap, in place of each being waited
for (`Group prefetching`, Chen, Ailamaki, Gibbons and Mowry 2004).

No pointer into the table outlives an answer, for the next request may move what it points to; none into the bytes of a
message outlives the call that was given them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ckv.core cimport buffer as buffers
from ckv.core.buffer cimport KEPT_BYTES, Buffer, append, empty, end_of, has_room, set_end, slice_of
from ckv.core.deciding cimport (
    CUT, ENOUGH, ENOUGH_BYTES, LARGE_BYTES, LEFT, WINDOW, Why, is_nowhere, may_delete, put,
)
from ckv.core.msgpackrpc cimport (
    MAX_ANSWER_HEAD_BYTES, msgid_of, read_batch, read_call, read_head, write_array, write_found, write_head,
    write_not_found,
)
from ckv.core.prefetch cimport hash_key, prefetch
from ckv.core.records cimport MAX_KEY_BYTES, TEXT, Entry, Table
from ckv.core.request cimport DEL, EXISTS, GET, PUT, Input, Request, input_of

cdef enum:
    ARRIVING_BYTES = 64 * 1024  # beyond, a value is worth a place of its own while it arrives

cdef enum Decision:
    DONE      # the result was written
    LARGE     # nothing was done: the value is too large for the BATCH
    OTHER     # nothing was done: it is not for memory alone to decide

cdef uint64_t ANY_SIZE = 0xFFFFFFFFFFFFFFFF
cdef uint32_t ANY_NUMBER = 0xFFFFFFFF


@cython.final
cdef class Server:
    cdef Table table
    cdef Table absent     # keys that are known to have no record
    cdef Buffer out       # the answers to one session, or a part of them
    cdef Why why          # the rest of the bytes was not answered
    cdef bint stop        # the session has something to do before what is behind
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
                    if not lone[i] or self.answer(&window[i]) != DONE:
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
        cdef Request request
        self.stop = False
        while input.at < input.end:
            if self.stop or self.out.length >= ENOUGH_BYTES:
                self.why = LEFT if self.stop else ENOUGH
                break
            if self.run(input) or (not input.cut and self.batch(input, session)):
                continue
            start = input.at
            # One that memory does not decide ends nothing, if it is of a kind that memory may decide.
            if not input.cut and read_head(input, &request) and read_call(input, &request):
                if request.kind == PUT and not self.table.may_put:
                    self.puts(input)
                answers, going_on = session.ask(slice_of(start, input.at))
                append(&self.out, answers)
                if going_on:
                    continue
            elif input.cut and self.begin(start, input.end, session):
                input.at = input.end
            else:
                input.at = start
            self.why = CUT if input.cut else LEFT
            break
        return True

    # Goes past the PUTs that come next: as none is for memory to decide, Python is asked for all of them at once.
    cdef void puts(self, Input *input) noexcept:
        cdef const uint8_t *start
        cdef Request request
        cdef int i
        for i in range(WINDOW - 1):
            start = input.at
            if not read_head(input, &request) or not read_call(input, &request) or request.kind != PUT:
                input.at = start
                input.cut = False
                return

    # A GET, PUT, DEL or EXISTS in a message of its own, and short enough for the table. Else `at` stays where it was.
    cdef inline bint read(self, Input *input, Request *request) noexcept:
        cdef const uint8_t *start = input.at
        if read_head(input, request) and read_call(input, request) and request.key_bytes <= MAX_KEY_BYTES:
            hash_key(self.table, request)
            return True
        input.at = start
        return False

    # Such requests up to the first that is not answered; whether there was one that was.
    cdef bint run(self, Input *input) noexcept:
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
                if self.out.length >= ENOUGH_BYTES or self.answer(&window[i]) != DONE:
                    input.at = starts[i]
                    input.cut = False
                    return input.at > start
        return input.at > start

    # A BATCH of such requests alone; whether it is one.
    cdef bint batch(self, Input *input, object session) except -1:
        cdef Request head
        cdef Request window[WINDOW]
        cdef const uint8_t *calls[WINDOW + 1]
        cdef const uint8_t *start = input.at
        cdef uint32_t count = self.look(input, &head), size, done, answered, i
        cdef uint64_t left = self.batch_bytes
        cdef Decision decision
        if count > self.batch_requests or not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):
            input.at = start
            return False
        set_end(&self.out, write_array(write_head(end_of(&self.out), head.msgid, head.msgid_bytes), count))
        for done in range(0, count, WINDOW):
            size = min(WINDOW, count - done)
            for i in range(size):
                calls[i] = input.at
                read_call(input, &window[i])
                hash_key(self.table, &window[i])
            calls[size] = input.at
            prefetch(self.table, window, size)
            for i in range(size):
                decision = self.decide(&window[i], min(self.bulky_bytes, left))
                if decision == DONE:
                    if window[i].kind == GET:
                        left -= window[i].value_bytes
                    continue
                answered = done + i
                if decision == OTHER:
                    answered += 1
                    result, going_on = session.ask_call(msgid_of(&head) + answered, slice_of(calls[i], calls[i + 1]))
                    append(&self.out, result)
                    if going_on:
                        continue
                input.at = calls[answered - done]
                self.leave(input, session, msgid_of(&head) + 1 + answered, count - answered)
                return True
        return True

    # Reads what is in front of the requests of a BATCH. Returns how many there are, ANY_NUMBER if it is for Python.
    cdef uint32_t look(self, Input *input, Request *head) noexcept:
        cdef Request request
        cdef uint32_t parts, i
        cdef const uint8_t *calls
        if not read_head(input, head) or not read_batch(input, &parts) or parts & 1 or msgid_of(head) > self.last_batch:
            return ANY_NUMBER
        calls = input.at
        for i in range(parts // 2):
            if not read_call(input, &request) or request.key_bytes > MAX_KEY_BYTES:
                return ANY_NUMBER
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

    # Has the value of a large PUT that has not arrived as a whole put where it will stay; whether it is one.
    cdef bint begin(self, const uint8_t *start, const uint8_t *end, object session) except -1:
        cdef Request request
        cdef Input input = Input(start, end, False)
        cdef Arriving arriving
        request.value_bytes = 0
        if not read_head(&input, &request) or read_call(&input, &request) or not input.cut:
            return False
        if not ARRIVING_BYTES < request.value_bytes <= self.max_value_bytes or request.key_bytes > MAX_KEY_BYTES:
            return False
        arriving = Arriving(self.table, slice_of(start, request.value))
        if arriving.request.block == NULL:
            return False
        arriving.take(slice_of(request.value, end))
        session.arrives(arriving)
        return True

    def arrived(self, Arriving arriving not None):
        self.out.length = 0
        hash_key(self.table, &arriving.request)
        if self.answer(&arriving.request) != DONE:
            return None
        arriving.request.block = NULL  # it is the table's
        return slice_of(self.out.data, end_of(&self.out))

    # Answers a request that is a message of its own; unless it is DONE, nothing was written.
    cdef inline Decision answer(self, Request *request) noexcept:
        cdef size_t before = self.out.length
        cdef Decision decision
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):
            return OTHER
        set_end(&self.out, write_head(end_of(&self.out), request.msgid, request.msgid_bytes))
        decision = self.decide(request, ANY_SIZE)
        if decision != DONE:
            self.out.length = before
        return decision

    # The answer to a GET with a large value, written where it is to be; None for any other request.
    cdef bytes large(self, const Request *request):
        cdef Table table = self.table
        cdef uint8_t[2 * MAX_ANSWER_HEAD_BYTES] head
        cdef uint32_t at = table.find(request.key, request.key_bytes, request.hash)
        cdef Entry *entry = &table.entries[at]
        cdef size_t size
        cdef bytes answer
        if request.kind != GET or not at or entry.value_bytes < LARGE_BYTES or table.is_over_entry(entry):
            return None
        size = write_found(write_head(head, request.msgid, request.msgid_bytes), entry.value_bytes, entry.flags & TEXT) - head
        answer = PyBytes_FromStringAndSize(NULL, size + entry.value_bytes)
        memcpy(PyBytes_AS_STRING(answer), head, size)
        memcpy(PyBytes_AS_STRING(answer) + size, table.value_of(entry), entry.value_bytes)
        table.used(at)
        table.hits += 1
        return answer

    # Writes the result of a request, whose value may have so many bytes. A GET learns how many its value had.
    cdef Decision decide(self, Request *request, uint64_t max_bytes) noexcept:
        cdef Table table = self.table
        cdef uint32_t at = table.find(request.key, request.key_bytes, request.hash)
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):  # first, for what is done cannot be undone
            return OTHER
        if request.kind == GET or request.kind == EXISTS:
            return self.look_up(table, request, at, max_bytes)
        if request.kind == DEL:
            if not may_delete(table, at):
                return OTHER
            if at:
                table.delete(at)
            end_of(&self.out)[0] = 0xC3 if at else 0xC2
        else:
            if not table.may_put or request.value_bytes > self.max_value_bytes or not put(table, request, at):
                return OTHER
            end_of(&self.out)[0] = 0xC3
        self.out.length += 1
        return DONE

    # The same for a GET or EXISTS.
    cdef inline Decision look_up(self, Table table, Request *request, uint32_t at, uint64_t max_bytes) noexcept:
        cdef Entry *entry = &table.entries[at]
        cdef uint8_t *to
        if not at:
            if not is_nowhere(table, self.absent, request):
                return OTHER
            if request.kind == EXISTS:
                end_of(&self.out)[0] = 0xC2
                self.out.length += 1
            else:
                set_end(&self.out, write_not_found(end_of(&self.out)))
            return DONE
        if table.is_over_entry(entry):
            return OTHER
        if request.kind == EXISTS:
            end_of(&self.out)[0] = 0xC3
            self.out.length += 1
        else:
            if entry.value_bytes > max_bytes:
                return LARGE
            if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES + <size_t>entry.value_bytes):
                return OTHER
            to = write_found(end_of(&self.out), entry.value_bytes, entry.flags & TEXT)
            memcpy(to, table.value_of(entry), entry.value_bytes)
            set_end(&self.out, to + entry.value_bytes)
            request.value_bytes = entry.value_bytes
        table.used(at)
        table.hits += 1
        return DONE


include "arriving.pxi"
