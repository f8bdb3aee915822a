# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A primary's way to its nodes: requests are copied from a client's bytes into the message to the node of their key.

No request is unpacked, and none is packed again: what a GET, PUT, DEL or EXISTS is made of, is the same on both sides; in
RESP it stands between other heads. Each is added to the :class:`~ckv.core.lane.Lane` of its node, which has the way back.
Everything else is handed back, in its order: other methods, large values, nodes that take no calls.
:mod:`ckv.protocol.msgpackrpc` and :mod:`ckv.protocol.resp.session` do the same for every request; they are the twins of
this module, and the contract.

A request of RESP has no number, so it is given one when it is passed on (:mod:`ckv.protocol.resp.quick`). The keys of an
MGET go to their nodes as GETs, whose values :mod:`ckv.protocol.resp.gather` makes one answer of.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from ckv.core cimport buffer as buffers, resp
from ckv.core.buffer cimport Buffer, append, empty, end_of, slice_of
from ckv.core.deciding cimport CUT, ENOUGH, ENOUGH_BYTES, LEFT, Why, is_enough
from ckv.core.lane cimport FIRST_BYTES, HEAD_BYTES, Lane, Routed
from ckv.core.msgpackrpc cimport MAX_CALL_HEADS_BYTES, read_call, read_head
from ckv.core.records cimport MAX_KEY_BYTES
from ckv.core.request cimport ELEMENT, PING, Input, Request, input_of
from ckv.core.slots cimport SLOTS, slot_of


def slot_of_bytes(bytes key not None):
    return slot_of(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))


cdef class Router:
    cdef uint16_t *owners
    cdef list lanes
    cdef uint32_t lane_count
    cdef Why why                # the rest of the bytes was not passed on
    cdef readonly uint64_t requests  # requests that were passed on, or answered here, since the start
    cdef readonly uint64_t more_keys  # that they named beyond one each
    cdef bint counts_calls           # whether each caller is told how many of its own, by its `calls`
    cdef uint32_t batch_requests
    cdef size_t batch_bytes     # of the requests in a BATCH
    cdef uint64_t bulky_bytes

    def __cinit__(self, owners, list lanes not None, *, uint32_t batch_requests, size_t batch_bytes, uint64_t bulky_bytes):
        self.batch_requests = batch_requests
        self.batch_bytes = batch_bytes - HEAD_BYTES
        self.bulky_bytes = bulky_bytes
        self.owners = <uint16_t *>malloc(SLOTS * sizeof(uint16_t))
        if self.owners == NULL:
            raise MemoryError
        self.route_by(owners, lanes)

    def __dealloc__(self):
        free(self.owners)

    # What is for a number that has no lane is handed back.
    def route_by(self, owners, list lanes not None):
        cdef bytes numbers = owners.tobytes()
        if owners.typecode != "H" or len(owners) != SLOTS or len(lanes) > 0xFFFF:
            raise ValueError("not an owner for each slot")
        self.lanes = [<Lane?>lane if lane is not None else None for lane in lanes]
        self.lane_count = <uint32_t>len(lanes)
        memcpy(self.owners, PyBytes_AS_STRING(numbers), SLOTS * sizeof(uint16_t))

    def count_calls(self, bint counts):
        self.counts_calls = counts

    def serve_all(self, list inbox not None):
        cdef list outcomes = []
        cdef Input input
        cdef uint64_t before
        for caller, data in inbox:
            input = input_of(<bytes?>data)
            before = self.requests
            answers = self.serve(&input, caller)
            if self.counts_calls:
                caller.calls += self.requests - before
            outcomes.append(answers if input.at == input.end else
                            (answers, PyBytes_GET_SIZE(data) - (input.end - input.at), self.why))
        return outcomes

    # Passes on requests of a client up to the first that is not for here. Returns what is answered at once.
    cdef bytes serve(self, Input *input, object caller):
        cdef const uint8_t *start
        cdef const uint8_t *call
        cdef Request request
        cdef uint32_t count = 0, most = caller.may_begin
        while input.at < input.end and count < most:
            start = call = input.at
            if read_head(input, &request):
                call = input.at
                if read_call(input, &request) and self.pass_on(&request, call, input.at - call, caller, 0):
                    count += 1
                    continue
            input.at = start
            break
        if count:
            self.requests += count
            caller.defer(count)
        self.why = CUT if input.cut else LEFT
        return b""

    # Whether a call was added to those of the node that has its key.
    cdef bint pass_on(self, const Request *request, const uint8_t *start, size_t size, object caller,
                      uint64_t number) except -1:
        cdef Lane lane
        cdef Routed routed
        if request.key_bytes > MAX_KEY_BYTES or request.value_bytes > self.bulky_bytes:
            return False
        lane = self.lane_of(request)
        if lane is None:
            return False
        routed = self.room_in(lane, size, caller)
        if routed is None or not routed.add(request, start, size, number):
            return False
        lane.count += 1
        return True

    # Where calls to the owner of the key are collected; None when it has none now.
    cdef Lane lane_of(self, const Request *request):
        cdef uint32_t owner = self.owners[slot_of(request.key, request.key_bytes)]
        return <Lane>self.lanes[owner] if owner < self.lane_count else None

    # What a call of so many bytes may be added to; None when the lane takes none, or memory is out.
    cdef Routed room_in(self, Lane lane, size_t size, object caller):
        cdef Routed routed = lane.collecting, other
        if not lane.is_open:
            return None
        if routed is None or routed.count == self.batch_requests or routed.requests.length + size > self.batch_bytes:
            try:
                other = Routed()
                other.late = lane.late
                if routed is not None:
                    lane.full.append(routed)
            except MemoryError:
                return None  # and what was collected stays where it is
            routed = lane.collecting = other
        if routed.last is not caller:
            routed.callers.append(caller)
            routed.last = caller
        return routed


@cython.final
cdef class RespRouter(Router):
    cdef Buffer out             # what is answered at once

    def __cinit__(self, *args, **bounds):
        if not buffers.start(&self.out, FIRST_BYTES):
            raise MemoryError

    def __dealloc__(self):
        free(self.out.data)

    # Python is asked for what is not for here, in its order, and stops all that is behind it only if that has to wait.
    cdef bytes serve(self, Input *input, object caller):
        cdef const uint8_t *start
        cdef bytes answers
        cdef bint going_on
        self.out.length = 0
        self.why = LEFT
        while input.at < input.end:
            if self.out.length >= ENOUGH_BYTES:
                self.why = ENOUGH
                break
            going_on = self.run(input, caller)
            start = input.at
            if not going_on or start == input.end:
                break
            if input.cut or not resp.pass_by(input, True):
                input.at = start
                self.why = CUT if input.cut else LEFT
                break
            answers, going_on = caller.ask_ahead(slice_of(start, input.at))
            if not going_on or input.at == input.end or is_enough(&self.out, answers):
                self.why = ENOUGH if going_on else LEFT
                return self.answers() + answers  # as in the loop that serves: without a copy, if they are alone
            append(&self.out, answers)
        return self.answers()

    cdef bytes answers(self):
        cdef bytes answers = slice_of(self.out.data, end_of(&self.out))
        empty(&self.out)
        return answers

    # Passes on requests up to the first that is not for here; whether that may be carried out now.
    cdef bint run(self, Input *input, object caller) except -1:
        cdef const uint8_t *start
        cdef Request request
        cdef uint64_t first = caller.ticket, number = first
        cdef uint32_t calls = 0, most = caller.may_begin, count
        while input.at < input.end and calls < most:
            start = input.at
            count = 0
            if not resp.read_request(input, &request):
                if not input.cut:
                    input.at = start
                    count = self.pass_on_elements(input, caller, number, most - calls)
                    input.cut = False  # One that is not passed on is like any other that is for Python.
            elif request.kind != PING:
                count = self.pass_on(&request, NULL, size_of(&request), caller, number)
            elif number == caller.head and not caller.waiting:
                append(&self.out, b"+PONG\r\n")
                self.requests += 1
                continue
            if not count:
                input.at = start
                break
            number += 1
            calls += count
        self.requests += number - first
        return number == first or caller.begin(number - first, calls)

    # Passes on the keys of an MGET, so many at most, or any number if the client waits for nothing else; how many there are, 0
    # if it is for Python.
    cdef uint32_t pass_on_elements(self, Input *input, object caller, uint64_t number, uint32_t most) except? 0xFFFFFFFF:
        cdef Request request
        cdef Input keys
        cdef Lane lane
        cdef uint64_t count, i
        if not resp.read_mget(input, &count) or (count > most and number != <uint64_t>caller.head):
            return 0
        keys = input[0]
        for i in range(count):
            if not resp.read_bulk(input, &request.key, &request.key_bytes) or request.key_bytes > MAX_KEY_BYTES:
                return 0
            lane = self.lane_of(&request)
            if lane is None or not lane.is_open:
                return 0
        gather = caller.gather(number, count)
        request.kind = ELEMENT
        request.value_bytes = 0
        for i in range(count):
            resp.read_bulk(&keys, &request.key, &request.key_bytes)
            if not self.pass_on(&request, NULL, size_of(&request), gather, i):
                raise MemoryError
        self.more_keys += count - 1
        return <uint32_t>count


# A bound of the bytes that a request of RESP will have.
cdef inline size_t size_of(const Request *request) noexcept nogil:
    return MAX_CALL_HEADS_BYTES + request.key_bytes + <size_t>request.value_bytes
