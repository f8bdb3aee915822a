"""Bytes that are put together, in memory that grows as needed."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy


cdef struct Buffer:
    uint8_t *data
    size_t room       # bytes that there is memory for
    size_t length     # bytes that are there


cdef enum:
    KEPT_BYTES = 512 * 1024  # the memory that stays when nothing is there


# False when memory is out, as below.
cdef inline bint start(Buffer *buffer, size_t room) noexcept nogil:
    buffer[0] = Buffer(<uint8_t *>malloc(room), room, 0)
    return buffer.data != NULL


cdef inline bint grow(Buffer *buffer, size_t room) noexcept nogil:
    cdef uint8_t *data = <uint8_t *>realloc(buffer.data, room)
    if data == NULL:
        return False
    buffer.data = data
    buffer.room = room
    return True


# Whether there is room for so many bytes more.
cdef inline bint has_room(Buffer *buffer, size_t more) noexcept nogil:
    return buffer.length + more <= buffer.room or grow(buffer, 2 * (buffer.length + more))


# Forgets what is there, and gives memory back that is more than usual.
cdef inline void empty(Buffer *buffer) noexcept nogil:
    buffer.length = 0
    if buffer.room > KEPT_BYTES:
        grow(buffer, KEPT_BYTES)


# Where the next byte goes. Good until there is more room to be made.
cdef inline uint8_t *end_of(Buffer *buffer) noexcept nogil:
    return buffer.data + buffer.length


# All up to there, which was written behind what was there, is there.
cdef inline void set_end(Buffer *buffer, const uint8_t *end) noexcept nogil:
    buffer.length = end - buffer.data


cdef inline bint append(Buffer *buffer, bytes data) except False:
    cdef size_t size = PyBytes_GET_SIZE(data)
    if not has_room(buffer, size):
        raise MemoryError
    memcpy(end_of(buffer), PyBytes_AS_STRING(data), size)
    buffer.length += size
    return True


cdef inline bytes slice_of(const uint8_t *start, const uint8_t *end):
    return PyBytes_FromStringAndSize(<const char *>start, end - start)
