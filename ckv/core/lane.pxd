"""What a primary has collected for a node. ``lane.pyx`` says how it works."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ckv.core.buffer cimport Buffer
from ckv.core.request cimport Input, Request
from ckv.core.times cimport Times

cdef enum:
    FIRST_BYTES = 2048    # that there is room for at once
    HEAD_BYTES = 32       # of anything in front of the requests of a message
    MSGID_BYTES = 9

cdef struct Call:
    uint32_t caller             # its number in the list of callers
    uint8_t kind
    uint8_t msgid_bytes         # 0 for one of RESP, which has a number in the place of a msgid
    uint8_t[MSGID_BYTES] msgid


@cython.final
cdef class Routed:
    cdef Buffer calls      # each a Call
    cdef Buffer requests
    cdef uint32_t count
    cdef list callers      # each once for each time that it sent something
    cdef object last       # of them
    cdef double began      # when, by the monotonic clock
    cdef object late       # makes the caller of one that Python has to answer; None for the caller itself

    # Adds a call of the last caller, as it is in so many bytes from `start`. One of RESP has a number, no `start`, and bytes
    # that are enough for it. False, and nothing is changed, when memory is out.
    cdef bint add(self, const Request *request, const uint8_t *start, size_t size, uint64_t number) noexcept

    # Private.
    cdef tuple made(self, uint32_t i)


@cython.final
cdef class Lane:
    cdef Routed collecting
    cdef list full              # those that hold no more
    cdef readonly uint32_t count
    cdef readonly bint is_open  # whether calls may be collected
    cdef uint64_t bulky_bytes   # of a value: a larger one is not for here
    cdef object late            # see Routed
    cdef object failed          # is told each error in a BATCH, packed
    cdef Times times
    # Of answers: whose turn it is, and what it is to be told.
    cdef object caller
    cdef Buffer out
    cdef uint32_t told          # how many these are
    cdef dict early             # for RESP: what others have to come before, by number
    cdef Py_ssize_t early_bytes # that came to it, less what was taken
    cdef uint64_t head          # the number of the answer that leaves next
    cdef list elements          # for MGET: its values, by their places
    cdef uint64_t element_bytes

    # Private.
    cdef bint are_ordinary(self, Input *input, Routed routed, Input *results) except -1
    cdef bint answer(self, Input results, Routed routed, uint64_t msgid, dict generation) except False
    cdef void write(self, const Call *call, const uint8_t *result, const uint8_t *end, bint is_error) noexcept
    cdef bint write_in_order(self, const Call *call, const uint8_t *result, const uint8_t *end) except False
    cdef bint write_element(self, const Call *call, const uint8_t *result, const uint8_t *end) except False
    cdef bint tell(self) except False
    cdef bint tell_in_order(self) except False
    cdef void forget(self) noexcept
