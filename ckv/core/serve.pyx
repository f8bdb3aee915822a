# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The requests that memory alone decides, from the bytes of a socket to the bytes of the answers.

A GET of a record that is in the table, a PUT that needs nobody else: these are most of what a node is asked, and for
them no Python object is made. Everything else is handed back, in its order: what the store has to decide, what is
neither GET, PUT nor DEL, what is wrong. The session (:mod:`ckv.protocol.msgpackrpc`) does the same for every request;
it is the twin of this module, and the contract. :mod:`ckv.protocol.quick` is where the two meet.

Requests are taken in windows. First all of a window are read and their keys hashed, and the processor is asked for the
memory that each will need; then they are answered. So the misses of its caches overlap, in place of each being waited
for (`Group prefetching`, Chen, Ailamaki, Gibbons and Mowry 2004).

No pointer into the table outlives an answer, for the next request may move what it points to; none into the bytes of a
message outlives the call that was given them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ckv.core cimport buffer as buffers
from ckv.core.buffer cimport Buffer, empty, end_of, has_room, set_end
from ckv.core.msgpackrpc cimport (
    DEL, GET, MAX_ANSWER_HEAD_BYTES, PUT, Request, msgid_of, read_batch, read_call, read_head, write_array, write_found,
    write_head, write_not_found,
)
from ckv.core.records cimport CLEAN, MAX_KEY_BYTES, SPECIAL, TEXT, Entry, FIFO, Table

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *address) nogil

cdef enum:
    WINDOW = 32              # requests whose memory is asked for together
    LINE_BYTES = 64          # of the processor's caches
    ENOUGH_BYTES = 256 * 1024  # of answers in one call: they have to be sent before there are more
    LARGE_BYTES = 16 * 1024    # from here on a value is worth not being copied twice

cdef enum Decision:
    DONE      # the result was written
    LARGE     # nothing was done: the value is too large for the BATCH
    OTHER     # nothing was done: it is not for memory alone to decide

cdef uint64_t ANY_SIZE = 0xFFFFFFFFFFFFFFFF


@cython.final
cdef class Server:
    cdef Table table
    cdef Table absent     # keys that are known to have no record
    cdef Buffer out       # the answers to one session, or a part of them
    cdef bint cut         # the bytes end in the middle of the message that was not answered
    cdef bint stop        # the session has something to do before what is behind
    cdef bint enough      # there were enough answers, and nothing else is in the way
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
        if not buffers.start(&self.out):
            raise MemoryError

    def __dealloc__(self):
        free(self.out.data)

    def serve_all(self, list inbox not None):
        cdef list outcomes = []
        cdef Request window[WINDOW]
        cdef bint lone[WINDOW]
        cdef const uint8_t *start
        cdef const uint8_t *end
        cdef const uint8_t *at
        cdef bytes data
        cdef Py_ssize_t first = 0, count = len(inbox), length = 0
        cdef int size, i
        while first < count and length < ENOUGH_BYTES:
            size = <int>min(WINDOW, count - first)
            # Most clients send one request and wait for its answer, so the window reaches over sessions.
            for i in range(size):
                data = <bytes?>(<tuple?>inbox[first + i])[1]
                start = <const uint8_t *>PyBytes_AS_STRING(data)
                end = start + PyBytes_GET_SIZE(data)
                at = read_head(start, end, &window[i], &self.cut) if start < end else NULL
                if at != NULL:
                    at = read_call(at, end, &window[i], &self.cut)
                lone[i] = at == end and at != NULL and window[i].key_bytes <= MAX_KEY_BYTES
                if lone[i]:
                    self.hash_key(&window[i])
                else:
                    window[i].hash = 0
            if size > 1:
                self.warm(window, size)
            for i in range(size):
                data = <bytes>(<tuple>inbox[first + i])[1]
                start = <const uint8_t *>PyBytes_AS_STRING(data)
                end = start + PyBytes_GET_SIZE(data)
                self.out.length = 0
                answers = self.large(&window[i]) if lone[i] else None
                if answers is not None or (lone[i] and self.answer(&window[i]) == DONE):
                    at = end
                else:
                    at = self.serve(start, end, (<tuple>inbox[first + i])[0])
                if answers is None:
                    answers = PyBytes_FromStringAndSize(<char *>self.out.data, self.out.length)
                outcomes.append(answers if at == end else (answers, at - start, 2 if self.enough else self.cut))
                length += PyBytes_GET_SIZE(answers)
                if length >= ENOUGH_BYTES:
                    break
            first += size
        empty(&self.out)
        return outcomes

    # All that memory decides, and what Python answers between; returns the place of the rest.
    cdef const uint8_t *serve(self, const uint8_t *at, const uint8_t *end, object session) except NULL:
        cdef const uint8_t *following
        cdef Request request
        self.stop = self.enough = False
        while at < end and self.out.length < ENOUGH_BYTES and not self.stop:
            self.cut = False
            following = self.run(at, end)
            if following == at and not self.cut:
                following = self.batch(at, end, session)
            if following == at:
                if self.cut:
                    return end if self.begin(at, end, session) else at
                # One that memory does not decide ends nothing, if it is of a kind that memory may decide.
                following = read_head(at, end, &request, &self.cut)
                if following != NULL:
                    following = read_call(following, end, &request, &self.cut)
                if following == NULL:
                    return at
                answers, going_on = session.ask(slice_of(at, following))
                self.append(answers)
                if not going_on:
                    return following
            at = following
        self.cut = False
        self.enough = at < end and not self.stop
        return at

    # GETs, PUTs and DELs; returns the place of the first that is not answered.
    cdef const uint8_t *run(self, const uint8_t *at, const uint8_t *end) noexcept:
        cdef Request window[WINDOW]
        cdef const uint8_t *starts[WINDOW]
        cdef const uint8_t *following
        cdef int size, i
        while at < end:
            size = 0
            while size < WINDOW and at < end:
                following = read_head(at, end, &window[size], &self.cut)
                if following != NULL:
                    following = read_call(following, end, &window[size], &self.cut)
                if following == NULL or window[size].key_bytes > MAX_KEY_BYTES:
                    break
                self.hash_key(&window[size])
                starts[size] = at
                at = following
                size += 1
            if size > 1:
                self.warm(window, size)
            for i in range(size):
                if self.out.length >= ENOUGH_BYTES or self.answer(&window[i]) != DONE:
                    self.cut = False
                    return starts[i]
            if size < WINDOW:
                return at
        return at

    # A BATCH; returns what follows it, or its own place when it is none, or not of such requests alone.
    cdef const uint8_t *batch(self, const uint8_t *start, const uint8_t *end, object session) except NULL:
        cdef Request head
        cdef Request window[WINDOW]
        cdef const uint8_t *calls[WINDOW + 1]
        cdef const uint8_t *at
        cdef uint32_t parts, count, done = 0, i
        cdef uint64_t left = self.batch_bytes
        cdef int size
        cdef Decision decision
        at = read_head(start, end, &head, &self.cut)
        if at != NULL:
            at = read_batch(at, end, &parts, &self.cut)
        if at == NULL:
            return start
        count = parts // 2
        if parts & 1 or count > self.batch_requests or msgid_of(&head) > self.last_batch:
            return start
        calls[0] = at
        for i in range(count):
            at = read_call(at, end, &window[0], &self.cut)
            if at == NULL or window[0].key_bytes > MAX_KEY_BYTES:
                return start
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):
            return start
        at = calls[0]
        set_end(&self.out, write_array(write_head(end_of(&self.out), &head), count))
        while done < count:
            size = 0
            calls[0] = at
            while size < WINDOW and done + size < count:
                at = read_call(at, end, &window[size], &self.cut)
                self.hash_key(&window[size])
                size += 1
                calls[size] = at
            if size > 1:
                self.warm(window, size)
            for i in range(size):
                decision = self.decide(&window[i], self.bulky_bytes if self.bulky_bytes < left else left)
                if decision == DONE:
                    if window[i].kind == GET:
                        left -= window[i].value_bytes
                    continue
                if decision == LARGE:
                    return self.leave(session, &head, done + i, calls[i], count - done - i, end)
                result, going_on = session.ask_call(msgid_of(&head) + 1 + done + i, slice_of(calls[i], calls[i + 1]))
                self.append(result)
                if not going_on:
                    return self.leave(session, &head, done + i + 1, calls[i + 1], count - done - i - 1, end)
            done += size
        return at

    # The last `count` requests of a BATCH get nil: each is answered by itself, later. Returns what follows the BATCH.
    cdef const uint8_t *leave(self, object session, const Request *head, uint32_t done, const uint8_t *at,
                              uint32_t count, const uint8_t *end) except NULL:
        cdef list rest = []
        cdef const uint8_t *following
        cdef Request request
        cdef uint32_t i
        self.stop = True
        for i in range(count):
            following = read_call(at, end, &request, &self.cut)
            rest.append(slice_of(at, following))
            at = following
        self.append(b"\xc0" * count)
        session.put_off_calls(msgid_of(head) + 1 + done, rest)
        return at

    # Has the value of a large PUT that has not arrived as a whole put where it will stay; whether it is one.
    cdef bint begin(self, const uint8_t *at, const uint8_t *end, object session) except -1:
        cdef Request request
        cdef const uint8_t *value = end
        cdef const uint8_t *start = read_head(at, end, &request, &self.cut)
        cdef Arriving arriving
        request.kind = GET
        if start == NULL or read_call(start, end, &request, &self.cut) != NULL or request.kind != PUT:
            return False
        if not LARGE_BYTES <= request.value_bytes <= self.max_value_bytes or request.key_bytes > MAX_KEY_BYTES:
            return False
        arriving = Arriving(self.table)
        if not arriving.begin(at, &request):
            return False
        arriving.take(slice_of(request.value, end))
        session.arriving = arriving
        return True

    def arrived(self, Arriving arriving not None):
        cdef Request request
        cdef bint cut
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(arriving.beginning)
        cdef const uint8_t *end = at + PyBytes_GET_SIZE(arriving.beginning)
        read_call(read_head(at, end, &request, &cut), end, &request, &cut)
        request.block = arriving.block
        self.hash_key(&request)
        self.out.length = 0
        if self.answer(&request) != DONE:
            return None
        arriving.block = NULL  # it is the table's
        return PyBytes_FromStringAndSize(<char *>self.out.data, self.out.length)

    # Answers a request that is a message of its own; unless it is DONE, nothing was written.
    cdef inline Decision answer(self, Request *request) noexcept:
        cdef size_t before = self.out.length
        cdef Decision decision
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES):
            return OTHER
        set_end(&self.out, write_head(end_of(&self.out), request))
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
        if request.kind != GET or not at or entry.flags & SPECIAL or entry.value_bytes < LARGE_BYTES:
            return None
        size = write_found(write_head(head, request), entry.value_bytes, entry.flags & TEXT) - head
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
        if request.kind == GET:
            return self.get(table, request, at, max_bytes)
        if request.kind == DEL:
            if not (table.may_put and table.may_miss):  # else it has to be noted for the persistent tier
                return OTHER
            if at:
                table.delete(at)
            end_of(&self.out)[0] = 0xC3 if at else 0xC2
        else:
            if not table.may_put or request.value_bytes > self.max_value_bytes or not self.put(table, request, at):
                return OTHER
            end_of(&self.out)[0] = 0xC3
        self.out.length += 1
        return DONE

    cdef inline Decision get(self, Table table, Request *request, uint32_t at, uint64_t max_bytes) noexcept:
        cdef Entry *entry
        cdef uint8_t *to
        if not at:
            if table.may_miss:
                table.misses += 1
            elif not self.is_absent(request):
                return OTHER
            set_end(&self.out, write_not_found(end_of(&self.out)))
            return DONE
        entry = &table.entries[at]
        if entry.flags & SPECIAL:
            return OTHER
        if entry.value_bytes > max_bytes:
            return LARGE
        if not has_room(&self.out, MAX_ANSWER_HEAD_BYTES + <size_t>entry.value_bytes):
            return OTHER
        table.used(at)
        table.hits += 1
        to = write_found(end_of(&self.out), entry.value_bytes, entry.flags & TEXT)
        memcpy(to, table.value_of(entry), entry.value_bytes)
        set_end(&self.out, to + entry.value_bytes)
        request.value_bytes = entry.value_bytes
        return DONE

    cdef bint is_absent(self, const Request *request) noexcept:
        cdef Table absent = self.absent
        cdef uint32_t at = absent.find(
            request.key, request.key_bytes, absent.hash_of(request.key, request.key_bytes)
        )
        if at:
            absent.used(at)
            absent.hits += 1
        return at != 0

    # Whether the record was stored. Nothing was done when it was not.
    cdef inline bint put(self, Table table, const Request *request, uint32_t at) noexcept:
        cdef uint32_t victim
        cdef uint32_t flags = TEXT if request.text else 0
        if at:
            if table.entries[at].flags & SPECIAL or not table.has_room(at, request.key_bytes, request.value_bytes):
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

    # --- the processor's caches ----------------------------------------------------------------------------------

    cdef inline void hash_key(self, Request *request) noexcept nogil:
        request.hash = self.table.hash_of(request.key, request.key_bytes)
        prefetch(&self.table.buckets[self.table.bucket_of(request.hash)])

    # Asks for the memory that the requests will need.
    cdef inline void warm(self, Request *window, int size) noexcept:
        cdef Table table = self.table
        cdef Request *request
        cdef Entry *entry
        cdef uint32_t at
        cdef int i
        for i in range(size):
            window[i].at = table.buckets[table.bucket_of(window[i].hash)]
            prefetch(&table.entries[window[i].at])
        for i in range(size):
            request = &window[i]
            at = request.at
            while at and table.entries[at].hash != request.hash:
                at = table.entries[at].chain
            if at:
                entry = &table.entries[at]
                prefetch(entry.block)
                prefetch(entry.block + LINE_BYTES)
                if table.policy != FIFO:
                    prefetch(&table.entries[entry.before])
                    prefetch(&table.entries[entry.after])

    cdef bint append(self, bytes data) except False:
        cdef size_t size = PyBytes_GET_SIZE(data)
        if not has_room(&self.out, size):
            raise MemoryError
        memcpy(end_of(&self.out), PyBytes_AS_STRING(data), size)
        self.out.length += size
        return True


cdef inline bytes slice_of(const uint8_t *start, const uint8_t *end):
    return PyBytes_FromStringAndSize(<char *>start, end - start)


# A PUT whose value has not arrived as a whole: what has, is in the block of the record to be.
@cython.final
cdef class Arriving:
    cdef Table table
    cdef bytes beginning    # of the message, up to the value
    cdef uint8_t *block
    cdef uint8_t *value     # in the block
    cdef readonly size_t missing
    cdef size_t value_bytes

    def __cinit__(self, Table table not None):
        self.table = table

    def __dealloc__(self):
        free(self.block)

    # False when memory is out.
    cdef bint begin(self, const uint8_t *start, const Request *request) except -1:
        self.beginning = slice_of(start, request.value)
        self.block = self.table.new_block(request.key, request.key_bytes, request.value_bytes)
        if self.block == NULL:
            return False
        self.value = self.block + self.table.head + request.key_bytes
        self.value_bytes = self.missing = request.value_bytes
        return True

    def take(self, bytes data not None):
        cdef size_t size = min(<size_t>PyBytes_GET_SIZE(data), self.missing)
        memcpy(self.value + self.value_bytes - self.missing, PyBytes_AS_STRING(data), size)
        self.missing -= size
        return size

    def message(self):
        return self.beginning + PyBytes_FromStringAndSize(<char *>self.value, self.value_bytes - self.missing)
