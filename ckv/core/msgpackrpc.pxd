"""Requests of msgpack-RPC as bytes, taken apart without a Python object, and the heads of their answers.

See docs/protocol.md, and https://github.com/msgpack/msgpack/blob/master/spec.md for the bytes.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from ckv.core.deciding cimport WINDOW
from ckv.core.request cimport DEL, EXISTS, GET, PUT, Input, Request, has

cdef enum:
    MAX_CALL_HEADS_BYTES = 16   # of a call, besides its key and its value


cdef inline uint64_t big_endian(const uint8_t *at, size_t size) noexcept nogil:
    cdef uint64_t number = 0
    cdef size_t i
    for i in range(size):
        number = number << 8 | at[i]
    return number


# A str or bin. Where it is and how long is also told of one that is cut behind its head.
cdef inline bint read_raw(Input *input, const uint8_t **data, uint32_t *size, uint8_t *text) noexcept nogil:
    cdef uint8_t first
    cdef size_t head
    if not has(input, 1):
        return False
    first = input.at[0]
    if (first & 0xE0) == 0xA0:
        head = 1
    elif first == 0xD9 or first == 0xC4:
        head = 2
    elif first == 0xDA or first == 0xC5:
        head = 3
    elif first == 0xDB or first == 0xC6:
        head = 5
    else:
        return False
    if not has(input, head):
        return False
    text[0] = first >= 0xD0 or head == 1
    size[0] = first & 31 if head == 1 else <uint32_t>big_endian(input.at + 1, head - 1)
    input.at += head
    data[0] = input.at
    if not has(input, size[0]):
        return False
    input.at += size[0]
    return True


# The method and the arguments of a GET, PUT, DEL or EXISTS.
cdef inline bint read_call(Input *input, Request *request) noexcept nogil:
    cdef const uint8_t *method = input.at
    cdef uint8_t ignored
    if not has(input, 1) or (method[0] != 0xA3 and method[0] != 0xA6) or not has(input, method[0] - 0xA0 + 2):
        return False
    input.at += method[0] - 0xA0 + 2
    request.value_bytes = 0
    request.block = NULL
    if memcmp(method, b"\xa3GET\x91", 5) == 0:
        request.kind = GET
    elif memcmp(method, b"\xa3PUT\x92", 5) == 0:
        request.kind = PUT
    elif memcmp(method, b"\xa3DEL\x91", 5) == 0:
        request.kind = DEL
    elif method[0] == 0xA6 and memcmp(method, b"\xa6EXISTS\x91", 8) == 0:
        request.kind = EXISTS
    else:
        return False
    if not read_raw(input, &request.key, &request.key_bytes, &ignored):
        return False
    return request.kind != PUT or read_raw(input, &request.value, &request.value_bytes, &request.text)


# What all messages with a number begin with, [kind, msgid: where the msgid is, which is no negative integer, and how many
# bytes it has. `needed` bytes have to be there behind it.
cdef inline bint read_msgid(Input *input, uint8_t kind, size_t needed, const uint8_t **msgid,
                            size_t *size) noexcept nogil:
    cdef const uint8_t *at = input.at
    if not has(input, 1) or at[0] != 0x94 or not has(input, 3) or at[1] != kind:
        return False
    if at[2] < 0x80:
        size[0] = 1
    elif 0xCC <= at[2] <= 0xCF:
        size[0] = 1 + (<size_t>1 << (at[2] - 0xCC))
    else:
        return False
    msgid[0] = at + 2
    if not has(input, 2 + size[0] + needed):
        return False
    input.at += 2 + size[0]
    return True


# What is in front of the method: [0, msgid.
cdef inline bint read_head(Input *input, Request *request) noexcept nogil:
    cdef size_t size
    if not read_msgid(input, 0, 0, &request.msgid, &size):
        return False
    request.msgid_bytes = <uint8_t>size
    return True


# A request of such a method in a message of its own.
cdef inline bint read_request(Input *input, Request *request) noexcept nogil:
    return read_head(input, request) and read_call(input, request)


# Goes past a request that is for Python, and past the PUTs behind it if no PUT is for compiled code: Python is asked for all
# of them at once. Else `at` is anywhere.
cdef inline bint pass_by(Input *input, bint may_put) noexcept nogil:
    cdef const uint8_t *start
    cdef Request request
    cdef int i
    if not read_request(input, &request):
        return False
    for i in range(WINDOW - 1 if request.kind == PUT and not may_put else 0):
        start = input.at
        if not read_request(input, &request) or request.kind != PUT:
            input.at = start
            input.cut = False
            break
    return True


# The head of an array.
cdef inline bint read_array(Input *input, uint32_t *count) noexcept nogil:
    if not has(input, 1):
        return False
    if (input.at[0] & 0xF0) == 0x90:
        count[0] = input.at[0] & 15
        input.at += 1
        return True
    if input.at[0] != 0xDC or not has(input, 3):
        return False
    count[0] = <uint32_t>big_endian(input.at + 1, 2)
    input.at += 3
    return True


# What is in front of the requests of a BATCH, behind the head: its method and an array of `parts` elements.
cdef inline bint read_batch(Input *input, uint32_t *parts) noexcept nogil:
    if not has(input, 1) or input.at[0] != 0xA5 or not has(input, 7) or memcmp(input.at, b"\xa5BATCH", 6) != 0:
        return False
    input.at += 6
    return read_array(input, parts)


# A positive integer of so many bytes, its type included.
cdef inline uint64_t number_at(const uint8_t *at, size_t size) noexcept nogil:
    return at[0] if size == 1 else big_endian(at + 1, size - 1)


cdef inline uint64_t msgid_of(const Request *request) noexcept nogil:
    return number_at(request.msgid, request.msgid_bytes)


# What is in front of the result of an answer that is no error: [1, msgid, nil.
cdef inline bint read_answer_head(Input *input, uint64_t *msgid) noexcept nogil:
    cdef const uint8_t *number
    cdef size_t size
    if not read_msgid(input, 1, 1, &number, &size) or input.at[0] != 0xC0:
        return False
    msgid[0] = number_at(number, size)
    input.at += 1
    return True


# A result as nodes send them: nil, a bool, a small number, a str or bin, or a short array of these.
cdef inline bint skip(Input *input) noexcept nogil:
    cdef const uint8_t *data
    cdef uint32_t size
    cdef uint8_t text, first, i, parts = 1
    if has(input, 1) and (input.at[0] & 0xF0) == 0x90:
        parts = input.at[0] & 15
        input.at += 1
    for i in range(parts):
        if not has(input, 1):
            return False
        first = input.at[0]
        if first < 0x80 or first >= 0xE0 or first == 0xC0 or first == 0xC2 or first == 0xC3:
            input.at += 1
        elif not read_raw(input, &data, &size, &text):
            return False
    return True


# These write something, and return where what follows goes.

cdef inline uint8_t *write_big_endian(uint8_t *to, uint32_t number, int size) noexcept nogil:
    while size:
        size -= 1
        to[0] = <uint8_t>(number >> 8 * size)
        to += 1
    return to


# What is in front of the result: [1, msgid, nil, with the msgid as it came.
cdef inline uint8_t *write_head(uint8_t *to, const uint8_t *msgid, size_t msgid_bytes) noexcept nogil:
    to[0] = 0x94
    to[1] = 1
    memcpy(to + 2, msgid, msgid_bytes)
    to[2 + msgid_bytes] = 0xC0
    return to + 3 + msgid_bytes


# What is in front of a str or bin.
cdef inline uint8_t *write_raw_head(uint8_t *to, uint32_t size, bint text) noexcept nogil:
    cdef int width = 0 if size < 256 else 1 if size < 65536 else 2
    if text and size < 32:
        to[0] = <uint8_t>(0xA0 | size)
        return to + 1
    to[0] = <uint8_t>((0xD9 if text else 0xC4) + width)
    return write_big_endian(to + 1, size, 1 << width)


# What is in front of the value of a record that was found: [true, and how long the value is.
cdef inline uint8_t *write_found(uint8_t *to, uint32_t size, bint text) noexcept nogil:
    to[0] = 0x92
    to[1] = 0xC3
    return write_raw_head(to + 2, size, text)


# A call with the key as a str and the value as a bin: what clients of Redis mean.
cdef inline uint8_t *write_call(uint8_t *to, const Request *request) noexcept nogil:
    if request.kind == EXISTS:
        memcpy(to, b"\xa6EXISTS\x91", 8)
        to += 8
    else:
        memcpy(to, b"\xa3PUT\x92" if request.kind == PUT else b"\xa3DEL\x91" if request.kind == DEL else b"\xa3GET\x91", 5)
        to += 5
    to = write_raw_head(to, request.key_bytes, True)
    memcpy(to, request.key, request.key_bytes)
    to += request.key_bytes
    if request.kind == PUT:
        to = write_raw_head(to, request.value_bytes, False)
        memcpy(to, request.value, request.value_bytes)
        to += request.value_bytes
    return to


# The answer to a GET that finds nothing: [false, ""].
cdef inline uint8_t *write_not_found(uint8_t *to) noexcept nogil:
    memcpy(to, b"\x92\xc2\xa0", 3)
    return to + 3


cdef inline uint8_t *write_array(uint8_t *to, uint32_t count) noexcept nogil:
    to[0] = <uint8_t>(0x90 | count) if count < 16 else 0xDC
    return to + 1 if count < 16 else write_big_endian(to + 1, count, 2)


cdef inline uint8_t *write_number(uint8_t *to, uint32_t number) noexcept nogil:
    to[0] = <uint8_t>number if number < 128 else 0xCE
    return to + 1 if number < 128 else write_big_endian(to + 1, number, 4)
