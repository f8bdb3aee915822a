# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A primary's way: requests are copied from a client's bytes into the message to their node, and results back.

No request is unpacked, and none is packed again: what a GET, PUT or DEL is made of, is the same on both sides. What
:class:`Router` collects in the :class:`Lane` of a node in a turn of the loop becomes one :class:`Routed`, which is one
message, and knows who asked for what in it. Everything else is handed back, in its order: other methods, large values, nodes that take no
calls. :mod:`ckv.protocol.msgpackrpc` and :mod:`ckv.protocol.calling` do the same for every request; they are the twin
of this module, and the contract.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy

from ckv.core cimport buffer as buffers
from ckv.core.buffer cimport Buffer, empty, end_of, has_room, set_end
from ckv.core.msgpackrpc cimport (
    MAX_ANSWER_HEAD_BYTES, Request, number_at, read_answer_head, read_array, read_call, read_head, skip,
    write_array, write_head, write_number,
)
from ckv.core.records cimport MAX_KEY_BYTES

cdef enum:
    FIRST_CALLS = 32
    FIRST_BYTES = 2048
    MSGID_BYTES = 9

cdef enum:
    SLOTS = 16384
    HEAD_BYTES = 32       # of anything in front of the requests of a message

cdef struct Call:
    uint32_t caller       # its number in the list of callers
    uint8_t msgid_bytes
    uint8_t[MSGID_BYTES] msgid

cdef uint16_t[256] CRC


cdef void make_crc() noexcept:
    # CRC-16/XMODEM, a byte at a time (https://reveng.sourceforge.io/crc-catalogue/16.htm).
    cdef uint32_t crc
    cdef int byte, bit
    for byte in range(256):
        crc = byte << 8
        for bit in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
        CRC[byte] = <uint16_t>(crc & 0xFFFF)


make_crc()


# As ckv.cluster.slots.slot_of(), for the bytes of a key.
cdef inline uint32_t slot_of(const uint8_t *key, size_t size) noexcept nogil:
    cdef const uint8_t *end = key + size
    cdef const uint8_t *start = <const uint8_t *>memchr(key, c"{", size)
    cdef const uint8_t *stop
    cdef uint32_t crc = 0
    if start != NULL:
        start += 1
        stop = <const uint8_t *>memchr(start, c"}", end - start)
        if stop != NULL and stop > start:
            key = start
            end = stop
    while key < end:
        crc = ((crc << 8) & 0xFFFF) ^ CRC[(crc >> 8) ^ key[0]]
        key += 1
    return crc % SLOTS


def slot_of_bytes(bytes key not None):
    return slot_of(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))


@cython.final
cdef class Routed:
    cdef Call *calls
    cdef uint8_t *requests
    cdef uint32_t count
    cdef uint32_t calls_room
    cdef size_t size
    cdef size_t requests_room
    cdef list callers     # each once for each time that it sent something
    cdef object last      # of them

    def __cinit__(self):
        self.callers = []
        self.calls = <Call *>malloc(FIRST_CALLS * sizeof(Call))
        self.requests = <uint8_t *>malloc(FIRST_BYTES)
        if self.calls == NULL or self.requests == NULL:
            raise MemoryError
        self.calls_room = FIRST_CALLS
        self.requests_room = FIRST_BYTES

    def __dealloc__(self):
        free(self.calls)
        free(self.requests)

    def __len__(self):
        return self.count

    # False, and nothing is changed, when memory is out.
    cdef bint add(self, const Request *request, const uint8_t *start, size_t size) noexcept:
        cdef Call *calls
        cdef uint8_t *requests
        if self.count == self.calls_room:
            calls = <Call *>realloc(self.calls, 2 * self.calls_room * sizeof(Call))
            if calls == NULL:
                return False
            self.calls = calls
            self.calls_room *= 2
        if self.size + size > self.requests_room:
            requests = <uint8_t *>realloc(self.requests, 2 * (self.size + size))
            if requests == NULL:
                return False
            self.requests = requests
            self.requests_room = 2 * (self.size + size)
        self.calls[self.count].caller = <uint32_t>(len(self.callers) - 1)
        self.calls[self.count].msgid_bytes = request.msgid_bytes
        memcpy(self.calls[self.count].msgid, request.msgid, request.msgid_bytes)
        memcpy(self.requests + self.size, start, size)
        self.size += size
        self.count += 1
        return True

    def packed(self, uint32_t msgid):
        cdef uint8_t[HEAD_BYTES] head
        cdef uint8_t *at = head
        cdef bytes message
        cdef char *to
        at[0] = 0x94
        at[1] = 0
        at = write_number(at + 2, msgid)
        if self.count > 1:
            memcpy(at, b"\xa5BATCH", 6)
            at = write_array(at + 6, 2 * self.count)
        message = PyBytes_FromStringAndSize(NULL, (at - head) + self.size)
        to = PyBytes_AS_STRING(message)
        memcpy(to, head, at - head)
        memcpy(to + (at - head), self.requests, self.size)
        return message

    def calls_made(self):
        return [(self.callers[self.calls[i].caller], number_at(self.calls[i].msgid, self.calls[i].msgid_bytes)) for i in range(self.count)]

    def requests_made(self):
        return PyBytes_FromStringAndSize(<char *>self.requests, self.size)


@cython.final
cdef class Lane:
    cdef Routed collecting
    cdef list full              # those that hold no more
    cdef readonly uint32_t count
    cdef readonly bint is_open  # whether calls may be collected
    cdef Buffer out             # the answers to one caller
    cdef uint64_t bulky_bytes   # of a value: a larger one is not for here
    cdef bint cut

    def __cinit__(self, *, uint64_t bulky_bytes):
        self.bulky_bytes = bulky_bytes
        self.full = []
        if not buffers.start(&self.out):
            raise MemoryError

    def __dealloc__(self):
        free(self.out.data)

    def open(self, bint may):
        self.is_open = may

    def take(self):
        cdef list found = self.full
        if self.collecting is not None and self.collecting.count:
            found.append(self.collecting)
        self.collecting = None
        self.full = []
        self.count = 0
        return found

    # --- answers -------------------------------------------------------------------------------------------------

    def answer_all(self, bytes data not None, dict calls not None, dict old_calls not None):
        cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef const uint8_t *end = start + PyBytes_GET_SIZE(data)
        cdef const uint8_t *at = start
        cdef const uint8_t *following
        cdef uint64_t msgid
        cdef dict generation
        self.cut = False
        while at < end:
            following = read_answer_head(at, end, &msgid, &self.cut)
            if following == NULL:
                break
            generation = calls if msgid in calls else old_calls
            routed = generation.get(msgid)
            if type(routed) is not Routed:
                break
            following = self.answer(following, end, <Routed>routed, msgid, generation)
            if following == NULL:
                break
            del generation[msgid]
            at = following
        empty(&self.out)
        return at - start, self.cut

    # The results of one message; NULL, and nobody was told, when they are cut or not what they should be.
    cdef const uint8_t *answer(self, const uint8_t *at, const uint8_t *end, Routed routed, uint64_t msgid,
                               dict generation) except? NULL:
        cdef const uint8_t *results = at
        cdef const uint8_t *following
        cdef uint32_t count = 1, i, told = 0
        cdef uint32_t caller = routed.calls[0].caller
        if routed.count > 1:
            results = read_array(at, end, &count, &self.cut)
            if results == NULL or count != routed.count:
                return NULL
        # First a look at all of them, and memory for all answers, for nobody can be told again.
        at = results
        for i in range(count):
            following = skip(at, end, &self.cut)
            if following == NULL or <size_t>(following - at) > self.bulky_bytes + MAX_ANSWER_HEAD_BYTES:
                return NULL
            at = following
        self.out.length = 0
        if not has_room(&self.out, (at - results) + count * MAX_ANSWER_HEAD_BYTES):
            raise MemoryError
        at = results
        for i in range(count):
            following = skip(at, end, &self.cut)
            if routed.calls[i].caller != caller:
                self.tell(routed.callers[caller], told)
                told = 0
                caller = routed.calls[i].caller
            if at[0] == 0xC0 and routed.count > 1:
                generation[msgid + 1 + i] = (routed.callers[caller], number_at(routed.calls[i].msgid, routed.calls[i].msgid_bytes))
            else:
                self.write(&routed.calls[i], at, following, routed.count > 1 and at[0] == 0x91)
                told += 1
            at = following
        self.tell(routed.callers[caller], told)
        return at

    cdef inline void write(self, const Call *call, const uint8_t *result, const uint8_t *end, bint is_error) noexcept:
        cdef uint8_t *to = end_of(&self.out)
        to[0] = 0x94
        to[1] = 1
        memcpy(to + 2, call.msgid, call.msgid_bytes)
        to += 2 + call.msgid_bytes
        if is_error:
            memcpy(to, result + 1, end - result - 1)
            to += end - result - 1
            to[0] = 0xC0
            to += 1
        else:
            to[0] = 0xC0
            memcpy(to + 1, result, end - result)
            to += 1 + (end - result)
        set_end(&self.out, to)

    cdef bint tell(self, object caller, uint32_t count) except False:
        if count:
            caller.answered(PyBytes_FromStringAndSize(<char *>self.out.data, self.out.length), count)
            self.out.length = 0
        return True


@cython.final
cdef class Router:
    cdef uint16_t *owners
    cdef list lanes
    cdef uint32_t batch_requests
    cdef size_t batch_bytes     # of the requests in a BATCH
    cdef uint64_t bulky_bytes
    cdef bint cut

    def __cinit__(self, owners, list lanes not None, *, uint32_t batch_requests, size_t batch_bytes, uint64_t bulky_bytes):
        cdef uint32_t slot
        if len(owners) != SLOTS or not 0 < len(lanes) <= 0xFFFF or not all(0 <= owner < len(lanes) for owner in owners):
            raise ValueError("not the owners of all slots")
        self.lanes = [<Lane?>lane for lane in lanes]
        self.batch_requests = batch_requests
        self.batch_bytes = batch_bytes - HEAD_BYTES
        self.bulky_bytes = bulky_bytes
        self.owners = <uint16_t *>malloc(SLOTS * sizeof(uint16_t))
        if self.owners == NULL:
            raise MemoryError
        for slot in range(SLOTS):
            self.owners[slot] = owners[slot]

    def __dealloc__(self):
        free(self.owners)

    def serve_all(self, list inbox not None):
        cdef list outcomes = []
        cdef const uint8_t *start
        cdef const uint8_t *end
        cdef const uint8_t *at
        cdef uint32_t count
        cdef bytes data
        for caller, data_of in inbox:
            data = <bytes?>data_of
            start = <const uint8_t *>PyBytes_AS_STRING(data)
            end = start + PyBytes_GET_SIZE(data)
            count = 0
            at = self.route(start, end, caller, caller.may_begin, &count)
            if count:
                caller.begun(count)
            outcomes.append(b"" if at == end else (b"", at - start, self.cut))
        return outcomes

    # Collects requests; returns the place of the first that is not for here.
    cdef const uint8_t *route(self, const uint8_t *at, const uint8_t *end, object caller, uint32_t most,
                              uint32_t *count) except NULL:
        cdef const uint8_t *start
        cdef const uint8_t *following
        cdef Request request
        cdef Routed routed
        cdef Lane lane
        self.cut = False
        while at < end and count[0] < most:
            start = read_head(at, end, &request, &self.cut)
            if start == NULL:
                return at
            following = read_call(start, end, &request, &self.cut)
            if following == NULL or request.key_bytes > MAX_KEY_BYTES or request.value_bytes > self.bulky_bytes:
                return at
            lane = <Lane>self.lanes[self.owners[slot_of(request.key, request.key_bytes)]]
            if not lane.is_open:
                return at
            routed = lane.collecting
            if routed is None or routed.count == self.batch_requests or \
                    routed.size + (following - start) > self.batch_bytes:
                try:
                    if routed is not None:
                        lane.full.append(routed)
                    routed = lane.collecting = Routed()
                except MemoryError:
                    lane.collecting = None
                    return at
            if routed.last is not caller:
                routed.callers.append(caller)
                routed.last = caller
            if not routed.add(&request, start, following - start):
                return at
            lane.count += 1
            count[0] += 1
            at = following
        return at
