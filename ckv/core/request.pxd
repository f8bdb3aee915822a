"""A request as bytes, whichever protocol it came in: what its parser finds, without a Python object."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t


cdef enum Kind:
    GET, PUT, DEL, EXISTS, PING
    ELEMENT  # a GET for one of the values that make up an answer to MGET
    UNNOTED  # in the place of that of a request that was answered elsewhere

cdef struct Input:
    # Bytes that are read from the front: what each function of a parser is to read begins `at`. They say whether it was
    # there. When not, `at` is anywhere, and `cut` says why: the bytes end too soon, or it is something for Python.
    const uint8_t *at
    const uint8_t *end
    bint cut

cdef struct Request:
    # The pointers are into the bytes that were read, and are good as long as these.
    const uint8_t *msgid  # for msgpack-RPC alone
    const uint8_t *key
    const uint8_t *value
    uint8_t *block        # the value in the block of a record to be, or NULL; for a PUT alone
    uint32_t key_bytes
    uint32_t value_bytes
    uint32_t hash
    uint32_t at           # the first entry of its bucket, or what was found there
    uint8_t msgid_bytes
    uint8_t kind
    uint8_t text          # the value is a str


cdef inline Input input_of(bytes data) noexcept:
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
    return Input(start, start + PyBytes_GET_SIZE(data), False)


cdef inline bint has(Input *input, size_t size) noexcept nogil:
    input.cut = <size_t>(input.end - input.at) < size
    return not input.cut
