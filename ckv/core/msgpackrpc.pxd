"""Requests of msgpack-RPC as bytes, taken apart without a Python object, and the heads of their answers.

Each function takes where it is to read and where the bytes end, and returns what follows what it read. It returns NULL
when that is not there: because the bytes end too soon, and then it says so, or because it is something else, which is
for Python. See docs/protocol.md, and https://github.com/msgpack/msgpack/blob/master/spec.md for the bytes.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy


cdef enum Kind:
    GET, PUT, DEL

cdef enum:
    MAX_ANSWER_HEAD_BYTES = 16  # of anything in front of a value: array, type, msgid, error, found, length

cdef struct Request:
    # The pointers are into the bytes that were read, and are good as long as these.
    const uint8_t *msgid
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


cdef inline uint32_t big16(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 8 | at[1]


cdef inline uint32_t big32(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


# A str or bin.
cdef inline const uint8_t *read_raw(const uint8_t *at, const uint8_t *end, const uint8_t **data, uint32_t *size,
                                    uint8_t *text, bint *cut) noexcept nogil:
    cdef size_t room = end - at, head
    cdef uint8_t first
    cut[0] = room == 0
    if room == 0:
        return NULL
    first = at[0]
    if (first & 0xE0) == 0xA0:
        head = 1
    elif first == 0xD9 or first == 0xC4:
        head = 2
    elif first == 0xDA or first == 0xC5:
        head = 3
    elif first == 0xDB or first == 0xC6:
        head = 5
    else:
        return NULL
    cut[0] = room < head
    if room < head:
        return NULL
    text[0] = first >= 0xD0 or head == 1
    size[0] = first & 31 if head == 1 else at[1] if head == 2 else big16(at + 1) if head == 3 else big32(at + 1)
    data[0] = at + head  # also of one that is cut
    cut[0] = room - head < size[0]
    if room - head < size[0]:
        return NULL
    return at + head + size[0]


# The method and the arguments of a GET, PUT or DEL.
cdef inline const uint8_t *read_call(const uint8_t *at, const uint8_t *end, Request *request, bint *cut) noexcept nogil:
    cdef uint8_t ignored
    cut[0] = at == end
    if at == end or at[0] != 0xA3:
        return NULL
    cut[0] = end - at < 5
    if end - at < 5:
        return NULL
    request.value_bytes = 0
    if at[4] == 0x91:
        if memcmp(at, b"\xa3GET", 4) == 0:
            request.kind = GET
        elif memcmp(at, b"\xa3DEL", 4) == 0:
            request.kind = DEL
        else:
            return NULL
        return read_raw(at + 5, end, &request.key, &request.key_bytes, &ignored, cut)
    if memcmp(at, b"\xa3PUT\x92", 5) == 0:
        request.kind = PUT
        request.block = NULL
        at = read_raw(at + 5, end, &request.key, &request.key_bytes, &ignored, cut)
        if at == NULL:
            return NULL
        return read_raw(at, end, &request.value, &request.value_bytes, &request.text, cut)
    return NULL


# What all messages with a number begin with, [kind, msgid: how many bytes the msgid has, which is no negative integer and
# stands two bytes behind the beginning. `needed` bytes have to be there behind it. 0 for anything else, and when cut.
cdef inline size_t read_msgid(const uint8_t *at, const uint8_t *end, uint8_t kind, size_t needed,
                              bint *cut) noexcept nogil:
    cdef size_t size
    cut[0] = False
    if at[0] != 0x94:
        return 0
    cut[0] = end - at < 3
    if end - at < 3:
        return 0
    if at[1] != kind:
        return 0
    if at[2] < 0x80:
        size = 1
    elif 0xCC <= at[2] <= 0xCF:
        size = 1 + (<size_t>1 << (at[2] - 0xCC))
    else:
        return 0
    cut[0] = <size_t>(end - at) < 2 + size + needed
    return 0 if cut[0] else size


# What is in front of the method: [0, msgid.
cdef inline const uint8_t *read_head(const uint8_t *at, const uint8_t *end, Request *request, bint *cut) noexcept nogil:
    cdef size_t size = read_msgid(at, end, 0, 0, cut)
    if size == 0:
        return NULL
    request.msgid = at + 2
    request.msgid_bytes = <uint8_t>size
    return at + 2 + size


# The head of an array.
cdef inline const uint8_t *read_array(const uint8_t *at, const uint8_t *end, uint32_t *count, bint *cut) noexcept nogil:
    cut[0] = at == end
    if at == end:
        return NULL
    if (at[0] & 0xF0) == 0x90:
        count[0] = at[0] & 15
        return at + 1
    if at[0] != 0xDC:
        return NULL
    cut[0] = end - at < 3
    if end - at < 3:
        return NULL
    count[0] = big16(at + 1)
    return at + 3


# What is in front of the requests of a BATCH, behind the head: its method and an array of `parts` elements.
cdef inline const uint8_t *read_batch(const uint8_t *at, const uint8_t *end, uint32_t *parts, bint *cut) noexcept nogil:
    cut[0] = at == end
    if at == end or at[0] != 0xA5:
        return NULL
    cut[0] = end - at < 7
    if end - at < 7:
        return NULL
    if memcmp(at, b"\xa5BATCH", 6) != 0:
        return NULL
    return read_array(at + 6, end, parts, cut)


# A positive integer of so many bytes, its type included.
cdef inline uint64_t number_at(const uint8_t *at, size_t size) noexcept nogil:
    cdef uint64_t number = 0
    cdef size_t i
    if size == 1:
        return at[0]
    for i in range(1, size):
        number = number << 8 | at[i]
    return number


cdef inline uint64_t msgid_of(const Request *request) noexcept nogil:
    return number_at(request.msgid, request.msgid_bytes)


# What is in front of the result of an answer that is no error: [1, msgid, nil.
cdef inline const uint8_t *read_answer_head(const uint8_t *at, const uint8_t *end, uint64_t *msgid,
                                            bint *cut) noexcept nogil:
    cdef size_t size = read_msgid(at, end, 1, 1, cut)
    if size == 0:
        return NULL
    if at[2 + size] != 0xC0:
        return NULL
    msgid[0] = number_at(at + 2, size)
    return at + 3 + size


# A result as nodes send them: nil, a bool, a small number, a str or bin, or a short array of these.
cdef inline const uint8_t *skip(const uint8_t *at, const uint8_t *end, bint *cut) noexcept nogil:
    cdef const uint8_t *data
    cdef uint32_t size
    cdef uint8_t text, parts = 1
    cut[0] = at == end
    if at == end:
        return NULL
    if (at[0] & 0xF0) == 0x90:
        parts = at[0] & 15
        at += 1
    while parts:
        cut[0] = at == end
        if at == end:
            return NULL
        if at[0] < 0x80 or at[0] >= 0xE0 or at[0] == 0xC0 or at[0] == 0xC2 or at[0] == 0xC3:
            at += 1
        else:
            at = read_raw(at, end, &data, &size, &text, cut)
            if at == NULL:
                return NULL
        parts -= 1
    return at


# What is in front of the result: [1, msgid, nil, with the msgid as it came. Returns what follows, as all that write do.
cdef inline uint8_t *write_head(uint8_t *to, const Request *request) noexcept nogil:
    to[0] = 0x94
    to[1] = 1
    memcpy(to + 2, request.msgid, request.msgid_bytes)
    to[2 + request.msgid_bytes] = 0xC0
    return to + 3 + request.msgid_bytes


# What is in front of the value of a record that was found: [true, and how long the value is.
cdef inline uint8_t *write_found(uint8_t *to, uint32_t size, bint text) noexcept nogil:
    to[0] = 0x92
    to[1] = 0xC3
    if text and size < 32:
        to[2] = <uint8_t>(0xA0 | size)
        return to + 3
    if size < 256:
        to[2] = 0xD9 if text else 0xC4
        to[3] = <uint8_t>size
        return to + 4
    if size < 65536:
        to[2] = 0xDA if text else 0xC5
        to[3] = <uint8_t>(size >> 8)
        to[4] = <uint8_t>(size & 255)
        return to + 5
    to[2] = 0xDB if text else 0xC6
    to[3] = <uint8_t>(size >> 24)
    to[4] = <uint8_t>(size >> 16 & 255)
    to[5] = <uint8_t>(size >> 8 & 255)
    to[6] = <uint8_t>(size & 255)
    return to + 7


# The answer to a GET that finds nothing: [false, ""].
cdef inline uint8_t *write_not_found(uint8_t *to) noexcept nogil:
    to[0] = 0x92
    to[1] = 0xC2
    to[2] = 0xA0
    return to + 3


cdef inline uint8_t *write_array(uint8_t *to, uint32_t count) noexcept nogil:
    if count < 16:
        to[0] = <uint8_t>(0x90 | count)
        return to + 1
    to[0] = 0xDC
    to[1] = <uint8_t>(count >> 8)
    to[2] = <uint8_t>(count & 255)
    return to + 3


cdef inline uint8_t *write_number(uint8_t *to, uint32_t number) noexcept nogil:
    if number < 128:
        to[0] = <uint8_t>number
        return to + 1
    to[0] = 0xCE
    to[1] = <uint8_t>(number >> 24)
    to[2] = <uint8_t>(number >> 16 & 255)
    to[3] = <uint8_t>(number >> 8 & 255)
    to[4] = <uint8_t>(number & 255)
    return to + 5
