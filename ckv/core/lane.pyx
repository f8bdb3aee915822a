# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What a primary has collected for a node, and the way back: its results are copied into the answers to clients.

What is collected in the :class:`Lane` of a node in a turn of the loop becomes one :class:`Routed`, which is one message, and
knows who asked for what in it. What is no ordinary result is handed back, in its order.
:mod:`ckv.protocol.calling` and :mod:`ckv.protocol.batch` do the same for every call; they are the twin of this module, and
the contract.

A result for a client of Redis leaves when the answer to its number is due, and with it those that wait behind; until then
it is put among those of its session (:mod:`ckv.protocol.resp.quick`). A value for MGET is put among those of its request.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from ckv.core cimport buffer as buffers, resp
from ckv.core.buffer cimport KEPT_BYTES, append, empty, end_of, has_room, set_end, slice_of
from ckv.core.deciding cimport LARGE_BYTES, MAX_ANSWER_HEAD_BYTES
from ckv.core.msgpackrpc cimport (
    number_at, read_answer_head, read_array, read_raw, skip, write_array, write_call, write_head, write_number,
)
from ckv.core.request cimport ELEMENT, GET, PUT, Input, Request, input_of
from ckv.core.times cimport Times, seconds_now, set_bounds, told, took

cdef enum:
    FIRST_CALLS = 32

cdef uint32_t NOBODY = 0xFFFFFFFF  # no number of a caller


cdef inline Call *call_of(Routed routed, uint32_t i) noexcept:
    return <Call *>routed.calls.data + i


cdef inline uint64_t number_of(const Call *call) noexcept nogil:
    cdef uint64_t number
    memcpy(&number, call.msgid, sizeof(number))
    return number


# One of those of which there are times.
cdef inline int kind_of(const Call *call) noexcept nogil:
    if call.kind == ELEMENT:
        return GET
    return call.kind


# Whether a result is what a request of RESP should have: any other is for Python.
cdef inline bint is_usual(uint8_t kind, const uint8_t *result, const uint8_t *end) noexcept nogil:
    cdef Input value = Input(result + 2, end, False)
    cdef const uint8_t *data
    cdef uint32_t size
    cdef uint8_t text
    if kind == GET or kind == ELEMENT:
        return result[0] == 0x92 and (result[1] == 0xC2 or (result[1] == 0xC3 and read_raw(&value, &data, &size, &text)))
    return result[0] == 0xC3 or (result[0] == 0xC2 and kind != PUT)


# Whether an error, packed as a text, is that the key is another node's; as ckv.protocol.batch.is_not_owner().
cdef inline bint is_not_owner(const uint8_t *at, const uint8_t *end) noexcept nogil:
    if at < end:
        at += 3 if at[0] == 0xDA else 2 if at[0] == 0xD9 else 1
    return end - at > 10 and memcmp(at, b"NotOwner: ", 10) == 0


@cython.final
cdef class Routed:
    def __cinit__(self):
        self.callers = []
        self.began = seconds_now()
        if not (buffers.start(&self.calls, FIRST_CALLS * sizeof(Call)) and buffers.start(&self.requests, FIRST_BYTES)):
            raise MemoryError

    def __dealloc__(self):
        free(self.calls.data)
        free(self.requests.data)

    def __len__(self):
        return self.count

    cdef bint add(self, const Request *request, const uint8_t *start, size_t size, uint64_t number) noexcept:
        cdef Call *call
        if not has_room(&self.calls, sizeof(Call)) or not has_room(&self.requests, size):
            return False
        call = call_of(self, self.count)
        call.caller = <uint32_t>(len(self.callers) - 1)
        call.kind = request.kind
        if start != NULL:
            call.msgid_bytes = request.msgid_bytes
            memcpy(call.msgid, request.msgid, request.msgid_bytes)
            memcpy(end_of(&self.requests), start, size)
            self.requests.length += size
        else:
            call.msgid_bytes = 0
            memcpy(call.msgid, &number, sizeof(number))
            set_end(&self.requests, write_call(end_of(&self.requests), request))
        self.calls.length += sizeof(Call)
        self.count += 1
        return True

    # Who made a call, and the msgid or number that it has there.
    cdef tuple made(self, uint32_t i):
        cdef Call *call = call_of(self, i)
        caller = self.callers[call.caller]
        if call.msgid_bytes:
            number = number_at(call.msgid, call.msgid_bytes)
        else:
            number = number_of(call)
            caller.expect(number, call.kind)
        return (caller if self.late is None else self.late(caller, kind_of(call), self.began), number)

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
    def __cinit__(self, *, uint64_t bulky_bytes):
        self.bulky_bytes = bulky_bytes
        self.full = []
        if not buffers.start(&self.out, KEPT_BYTES):
            raise MemoryError

    def __dealloc__(self):
        free(self.out.data)

    def watch(self, late not None, tuple bounds not None, failed not None):
        set_bounds(&self.times, bounds)
        self.late = late
        self.failed = failed

    def told_times(self):
        return told(&self.times)

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
        cdef Input input = input_of(data), results
        cdef const uint8_t *at = input.at
        cdef uint64_t msgid
        cdef dict generation
        while input.at < input.end and read_answer_head(&input, &msgid):
            generation = calls if msgid in calls else old_calls
            routed = generation.get(msgid)
            if type(routed) is not Routed or not self.are_ordinary(&input, <Routed>routed, &results):
                break
            del generation[msgid]  # So whatever happens to the rest, nobody is told again, such as that the node is lost.
            try:
                self.answer(results, <Routed>routed, msgid, generation)
            except:
                # Nobody knows who was told, so that what they are told next may be taken for something else.
                self.forget()
                for caller in (<Routed>routed).callers:
                    caller.break_off()
                raise
            at = input.at
        empty(&self.out)
        return PyBytes_GET_SIZE(data) - (input.end - at), at < input.end and input.cut

    # First a look at the results of one message, and memory for all answers, for nobody can be told again: whether they
    # are what they should be, and where they begin.
    cdef bint are_ordinary(self, Input *input, Routed routed, Input *results) except -1:
        cdef const uint8_t *start
        cdef const Call *call
        cdef uint32_t count = 1, i
        if routed.count > 1 and not (read_array(input, &count) and count == routed.count):
            return False
        results[0] = input[0]
        for i in range(count):
            start = input.at
            call = call_of(routed, i)
            if not skip(input) or <size_t>(input.at - start) > self.bulky_bytes + MAX_ANSWER_HEAD_BYTES:
                return False
            if not (call.msgid_bytes or is_usual(call.kind, start, input.at) or (start[0] == 0xC0 and count > 1)):
                return False
            if count > 1 and start[0] == 0x91 and is_not_owner(start + 1, input.at):
                return False  # it may have to be asked of another node
        self.out.length = 0
        if not has_room(&self.out, (input.at - results.at) + count * MAX_ANSWER_HEAD_BYTES):
            raise MemoryError
        return True

    # Tells them all.
    cdef bint answer(self, Input results, Routed routed, uint64_t msgid, dict generation) except False:
        cdef const uint8_t *start
        cdef const Call *call
        cdef uint32_t count = routed.count, i, caller = NOBODY
        cdef bint is_error
        for i in range(count):
            start = results.at
            call = call_of(routed, i)
            skip(&results)
            if call.caller != caller:
                self.tell()
                caller = call.caller
                self.caller = routed.callers[caller]
                if call.kind == ELEMENT:
                    self.elements = self.caller.elements
                elif not call.msgid_bytes:
                    self.head = self.caller.head
                    self.early = self.caller.early
            if start[0] == 0xC0 and count > 1:
                generation[msgid + 1 + i] = routed.made(i)
                continue
            self.times.answered[kind_of(call)] += 1
            if call.msgid_bytes:
                is_error = count > 1 and start[0] == 0x91
                if is_error and self.failed is not None:
                    self.failed(slice_of(start + 1, results.at))
                self.write(call, start, results.at, is_error)
            elif call.kind == ELEMENT:
                self.write_element(call, start, results.at)
            else:
                self.write_in_order(call, start, results.at)
        took(&self.times, seconds_now() - routed.began)
        return self.tell()

    cdef void write(self, const Call *call, const uint8_t *result, const uint8_t *end, bint is_error) noexcept:
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
        self.told += 1

    # The answer to a request of RESP, and those that have waited for it; or it waits itself.
    cdef bint write_in_order(self, const Call *call, const uint8_t *result, const uint8_t *end) except False:
        cdef size_t before = self.out.length
        cdef Input value = Input(result + 2, end, False)
        cdef const uint8_t *data
        cdef uint32_t size
        cdef uint8_t text
        if not has_room(&self.out, (end - result) + MAX_ANSWER_HEAD_BYTES):
            raise MemoryError
        if call.kind == PUT:
            set_end(&self.out, resp.write_bytes(end_of(&self.out), b"+OK\r\n", 5))
        elif call.kind != GET:
            set_end(&self.out, resp.write_flag(end_of(&self.out), result[0] == 0xC3))
        elif result[1] == 0xC3:
            read_raw(&value, &data, &size, &text)
            set_end(&self.out, resp.write_bulk(end_of(&self.out), data, size))
        else:
            append(&self.out, <bytes?>self.caller.nil)
        if number_of(call) != self.head:
            self.early[number_of(call)] = slice_of(self.out.data + before, end_of(&self.out))
            self.early_bytes += self.out.length - before
            self.out.length = before
            return True
        self.head += 1
        while self.early:
            answer = self.early.pop(self.head, None)
            if answer is None:
                break
            self.early_bytes -= PyBytes_GET_SIZE(<bytes?>answer)
            if PyBytes_GET_SIZE(answer) < LARGE_BYTES:
                append(&self.out, answer)
            else:
                # As it is: one of Python's may have any size.
                self.tell_in_order()
                self.caller.answered(answer, self.head + 1, 0)
            self.head += 1
        return True

    # One of the values that make up an answer to MGET.
    cdef bint write_element(self, const Call *call, const uint8_t *result, const uint8_t *end) except False:
        cdef Input value = Input(result + 2, end, False)
        cdef const uint8_t *data
        cdef uint32_t size
        cdef uint8_t text
        if result[1] == 0xC3 and number_of(call) < <uint64_t>len(self.elements):  # which Python might have cleared
            read_raw(&value, &data, &size, &text)
            self.elements[number_of(call)] = slice_of(self.out.data, resp.write_bulk(self.out.data, data, size))
            self.element_bytes += size
        self.told += 1
        return True

    # Tells the caller whose turn it was.
    cdef bint tell(self) except False:
        if self.early is not None:
            self.tell_in_order()
        elif self.elements is not None:
            self.caller.gathered(self.told, self.element_bytes)
        elif self.told:
            self.caller.answered(slice_of(self.out.data, end_of(&self.out)), self.told)
        self.forget()
        return True

    cdef bint tell_in_order(self) except False:
        self.caller.answered(slice_of(self.out.data, end_of(&self.out)), self.head, self.early_bytes)
        self.out.length = self.early_bytes = 0
        return True

    cdef void forget(self) noexcept:
        self.out.length = self.told = self.early_bytes = self.element_bytes = 0
        self.caller = self.early = self.elements = None
