"""Requests of RESP as bytes, taken apart without a Python object, and their answers.

See docs/protocol.md, and https://redis.io/docs/latest/develop/reference/protocol-spec/ for the bytes. What is no request as
clients send it (a line, a number with a zero in front, anything wrong) is for Python, which knows all of it.
"""

from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ckv.core.deciding cimport WINDOW
from ckv.core.request cimport DEL, EXISTS, GET, PING, PUT, Input, Request, has

cdef enum:
    MAX_DIGITS = 10                # of the number in a head
    MAX_PASSED_ARGUMENTS = 1024    # of a request that is for Python: more may be looked at too often while it arrives
    MAX_CUT_BYTES = 64 * 1024      # a longer argument that has not arrived as a whole is Python's, which has a place for it
    MAX_CUT_BYTES_OF_OTHERS = 16 * 1024  # so is a longer beginning of a request with any number of arguments


# A mark and a number, `*3\r\n`.
cdef inline bint read_head(Input *input, uint8_t mark, uint64_t *number) noexcept nogil:
    cdef const uint8_t *at
    cdef const uint8_t *first
    if not has(input, 1) or input.at[0] != mark:
        return False
    at = first = input.at + 1
    number[0] = 0
    while at < input.end and 48 <= at[0] <= 57:
        if at - first == MAX_DIGITS:
            return False
        number[0] = 10 * number[0] + (at[0] - 48)
        at += 1
    input.cut = input.end - at < 2
    if input.cut or at == first or (first[0] == 48 and at - first > 1) or at[0] != 13 or at[1] != 10:
        return False
    input.at = at + 2
    return True


# A bulk string, `$3\r\nbob\r\n`.
cdef inline bint read_bulk(Input *input, const uint8_t **data, uint32_t *size) noexcept nogil:
    cdef uint64_t number
    if not read_head(input, 36, &number):
        return False
    if <uint64_t>(input.end - input.at) < number + 2:
        input.cut = number <= MAX_CUT_BYTES
        return False
    if number > UINT32_MAX or input.at[number] != 13 or input.at[number + 1] != 10:
        return False
    data[0] = input.at
    size[0] = <uint32_t>number
    input.at += number + 2
    return True


# Whether a name is that word, which is in capitals: any letter of the name may be small.
cdef inline bint is_word(const uint8_t *name, uint32_t size, const char *word, uint32_t length) noexcept nogil:
    cdef uint32_t i
    if size != length:
        return False
    for i in range(length):
        if (name[i] & 0xDF) != word[i]:
            return False
    return True


# A request that memory alone may decide; a SET is a PUT.
cdef inline bint read_request(Input *input, Request *request) noexcept nogil:
    cdef const uint8_t *name
    cdef uint32_t size
    cdef uint64_t count
    if not read_head(input, 42, &count) or not 1 <= count <= 3 or not read_bulk(input, &name, &size):
        return False
    request.key = name
    request.key_bytes = 0
    request.value_bytes = 0
    request.block = NULL
    request.text = False
    if count == 1:
        request.kind = PING
        return is_word(name, size, b"PING", 4)
    if count == 2:
        if is_word(name, size, b"GET", 3):
            request.kind = GET
        elif is_word(name, size, b"DEL", 3):
            request.kind = DEL
        elif is_word(name, size, b"EXISTS", 6):
            request.kind = EXISTS
        else:
            return False
        return read_bulk(input, &request.key, &request.key_bytes)
    request.kind = PUT
    return (is_word(name, size, b"SET", 3) and read_bulk(input, &request.key, &request.key_bytes)
            and read_bulk(input, &request.value, &request.value_bytes))


# What is in front of the keys of an MGET; how many there are.
cdef inline bint read_mget(Input *input, uint64_t *count) noexcept nogil:
    cdef const uint8_t *name
    cdef uint32_t size
    if not read_head(input, 42, count) or not 2 <= count[0] <= MAX_PASSED_ARGUMENTS or not read_bulk(input, &name, &size):
        return False
    count[0] -= 1
    return is_word(name, size, b"MGET", 4)


# Any request that is an array.
cdef inline bint skip(Input *input) noexcept nogil:
    cdef const uint8_t *argument
    cdef uint32_t size
    cdef uint64_t count, i
    if not read_head(input, 42, &count) or not 1 <= count <= MAX_PASSED_ARGUMENTS:
        return False
    for i in range(count):
        if not read_bulk(input, &argument, &size):
            return False
    return True


# Goes past a request that is for Python, and past those behind it that are so for the same reason, be it that no SET is
# for compiled code: Python is asked for all of them at once. Else `at` is anywhere.
cdef inline bint pass_by(Input *input, bint may_put) noexcept nogil:
    cdef const uint8_t *start = input.at
    cdef Request request
    cdef bint puts = False
    cdef int i
    for i in range(WINDOW):
        start = input.at
        if read_request(input, &request):
            if i == 0:
                puts = request.kind == PUT and not may_put
                if not puts:
                    return True
            elif not puts or request.kind != PUT:
                break
        else:
            input.at = start
            if puts or input.cut or not skip(input):
                if i == 0:
                    # A little that is kept spares what is behind it the way through Python; all of it is copied and
                    # looked at with each read.
                    input.cut = input.cut and input.end - start <= MAX_CUT_BYTES_OF_OTHERS
                    return False
                break
    else:
        return True
    input.at = start
    input.cut = False
    return True


# These write something, and return where what follows goes.

cdef inline uint8_t *write_bytes(uint8_t *to, const char *data, size_t size) noexcept nogil:
    memcpy(to, data, size)
    return to + size


# What is in front of a bulk string: how long it is.
cdef inline uint8_t *write_size(uint8_t *to, uint32_t size) noexcept nogil:
    cdef uint32_t left = size
    cdef int digits = 1, i
    while left >= 10:
        left //= 10
        digits += 1
    to[0] = 36
    for i in range(digits, 0, -1):
        to[i] = <uint8_t>(48 + size % 10)
        size //= 10
    return write_bytes(to + 1 + digits, b"\r\n", 2)


# A bulk string.
cdef inline uint8_t *write_bulk(uint8_t *to, const uint8_t *data, uint32_t size) noexcept nogil:
    to = write_bytes(write_size(to, size), <const char *>data, size)
    return write_bytes(to, b"\r\n", 2)


# How many records there were: one or none.
cdef inline uint8_t *write_flag(uint8_t *to, bint flag) noexcept nogil:
    memcpy(to, b":0\r\n", 4)
    to[1] += flag
    return to + 4
