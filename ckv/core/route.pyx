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
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy

from ckv.core cimport buffer as buffers
from ckv.core.buffer cimport KEPT_BYTES, Buffer, empty, end_of, has_room, set_end, slice_of
from ckv.core.msgpackrpc cimport (
    MAX_ANSWER_HEAD_BYTES, number_at, read_answer_head, read_array, read_call, read_head, skip, write_array, write_head,
    write_number,
)
from ckv.core.records cimport MAX_KEY_BYTES
from ckv.core.request cimport Input, Request, input_of

from binascii import crc_hqx

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

cdef uint16_t[256] CRC    # CRC-16/XMODEM of each byte
for byte in range(256):
    CRC[byte] = crc_hqx(bytes((byte,)), 0)


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
    cdef Buffer calls      # each a Call
    cdef Buffer requests
    cdef uint32_t count
    cdef list callers      # each once for each time that it sent something
    cdef object last       # of them

    def __cinit__(self):
        self.callers = []
        if not (buffers.start(&self.calls, FIRST_CALLS * sizeof(Call)) and buffers.start(&self.requests, FIRST_BYTES)):
            raise MemoryError

    def __dealloc__(self):
        free(self.calls.data)
        free(self.requests.data)

    def __len__(self):
        return self.count

    cdef Call *call(self, uint32_t i) noexcept:
        return <Call *>self.calls.data + i

    # False, and nothing is changed, when memory is out.
    cdef bint add(self, const Request *request, const uint8_t *start, size_t size) noexcept:
        cdef Call *call
        if not has_room(&self.calls, sizeof(Call)) or not has_room(&self.requests, size):
            return False
        call = self.call(self.count)
        call.caller = <uint32_t>(len(self.callers) - 1)
        call.msgid_bytes = request.msgid_bytes
        memcpy(call.msgid, request.msgid, request.msgid_bytes)
        memcpy(end_of(&self.requests), start, size)
        self.calls.length += sizeof(Call)
        self.requests.length += size
        self.count += 1
        return True

    # Who made a call, and its msgid.
    cdef tuple made(self, uint32_t i):
        return (self.callers[self.call(i).caller], number_at(self.call(i).msgid, self.call(i).msgid_bytes))

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
        return slice_of(head, at) + self.requests_made()

    def calls_made(self):
        return [self.made(i) for i in range(self.count)]

    def requests_made(self):
        return slice_of(self.requests.data, end_of(&self.requests))


@cython.final
cdef class Lane:
    cdef Routed collecting
    cdef list full              # those that hold no more
    cdef readonly uint32_t count
    cdef readonly bint is_open  # whether calls may be collected
    cdef Buffer out             # the answers to one caller
    cdef uint64_t bulky_bytes   # of a value: a larger one is not for here

    def __cinit__(self, *, uint64_t bulky_bytes):
        self.bulky_bytes = bulky_bytes
        self.full = []
        if not buffers.start(&self.out, KEPT_BYTES):
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
        cdef Input input = input_of(data)
        cdef const uint8_t *at = input.at
        cdef uint64_t msgid
        cdef dict generation
        while input.at < input.end and read_answer_head(&input, &msgid):
            generation = calls if msgid in calls else old_calls
            routed = generation.get(msgid)
            if type(routed) is not Routed or not self.answer(&input, <Routed>routed, msgid, generation):
                break
            del generation[msgid]
            at = input.at
        empty(&self.out)
        return PyBytes_GET_SIZE(data) - (input.end - at), at < input.end and input.cut

    # The results of one message; False, and nobody was told, when they are cut or not what they should be.
    cdef bint answer(self, Input *input, Routed routed, uint64_t msgid, dict generation) except -1:
        cdef const uint8_t *start
        cdef uint32_t count = 1, i, told = 0
        cdef uint32_t caller = routed.call(0).caller
        cdef Input results
        if routed.count > 1 and not (read_array(input, &count) and count == routed.count):
            return False
        # First a look at all of them, and memory for all answers, for nobody can be told again.
        results = input[0]
        for i in range(count):
            start = input.at
            if not skip(input) or <size_t>(input.at - start) > self.bulky_bytes + MAX_ANSWER_HEAD_BYTES:
                return False
        self.out.length = 0
        if not has_room(&self.out, (input.at - results.at) + count * MAX_ANSWER_HEAD_BYTES):
            raise MemoryError
        for i in range(count):
            start = results.at
            skip(&results)
            if routed.call(i).caller != caller:
                self.tell(routed.callers[caller], told)
                told = 0
                caller = routed.call(i).caller
            if start[0] == 0xC0 and routed.count > 1:
                generation[msgid + 1 + i] = routed.made(i)
            else:
                self.write(routed.call(i), start, results.at, routed.count > 1 and start[0] == 0x91)
                told += 1
        self.tell(routed.callers[caller], told)
        return True

    cdef inline void write(self, const Call *call, const uint8_t *result, const uint8_t *end, bint is_error) noexcept:
        cdef uint8_t *to = write_head(end_of(&self.out), call.msgid, call.msgid_bytes)
        if is_error:
            to -= 1
            result += 1
        memcpy(to, result, end - result)
        to += end - result
        if is_error:
            to[0] = 0xC0
            to += 1
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
        cdef Input input
        cdef uint32_t count
        for caller, data in inbox:
            input = input_of(<bytes?>data)
            count = self.route(&input, caller, caller.may_begin)
            if count:
                caller.defer(count)
            outcomes.append(b"" if input.at == input.end else
                            (b"", PyBytes_GET_SIZE(data) - (input.end - input.at), input.cut))
        return outcomes

    # Collects requests up to the first that is not for here; how many.
    cdef uint32_t route(self, Input *input, object caller, uint32_t most) except? 0xFFFFFFFF:
        cdef const uint8_t *start
        cdef const uint8_t *call
        cdef Request request
        cdef Routed routed
        cdef Lane lane
        cdef uint32_t count = 0
        while input.at < input.end and count < most:
            start = input.at
            call = start
            if read_head(input, &request):
                call = input.at
                if read_call(input, &request) and request.key_bytes <= MAX_KEY_BYTES and \
                        request.value_bytes <= self.bulky_bytes:
                    lane = <Lane>self.lanes[self.owners[slot_of(request.key, request.key_bytes)]]
                    routed = self.room_in(lane, input.at - call, caller)
                    if routed is not None and routed.add(&request, call, input.at - call):
                        lane.count += 1
                        count += 1
                        continue
            input.at = start
            break
        return count

    # What a call of so many bytes may be added to; None when the lane takes none, or memory is out.
    cdef Routed room_in(self, Lane lane, size_t size, object caller):
        cdef Routed routed = lane.collecting
        if not lane.is_open:
            return None
        if routed is None or routed.count == self.batch_requests or routed.requests.length + size > self.batch_bytes:
            try:
                if routed is not None:
                    lane.full.append(routed)
                routed = lane.collecting = Routed()
            except MemoryError:
                lane.collecting = None
                return None
        if routed.last is not caller:
            routed.callers.append(caller)
            routed.last = caller
        return routed
