# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The rows of a batch as they stand in a statement: the twin of ``ckv.persistent.mysql.statements.literals_in_python``.

The bytes of keys and values are read where they are, put into order, and written as hexadecimal digits into the one text
that is returned.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcmp, memcpy

include "text.pxi"

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)

cdef enum:
    TYPE_STR = 0      # as in ckv/persistent/rows.py
    TYPE_BIN = 1
    TYPE_EXPIRES = 2
    AROUND = 12       # (X'',X'',0),

cdef struct Row:
    const char *key
    const char *value
    Py_ssize_t key_bytes
    Py_ssize_t value_bytes
    char kind
    Py_ssize_t last   # where its last column is among those that were made; 0 for a row without

cdef char DIGITS[512]
cdef Py_ssize_t number
for number in range(256):
    DIGITS[2 * number] = b"0123456789abcdef"[number >> 4]
    DIGITS[2 * number + 1] = b"0123456789abcdef"[number & 15]


cdef int in_order(const void *one, const void *other) noexcept nogil:
    # By the bytes of the keys, of which no two are the same.
    cdef const Row *a = <const Row *>one
    cdef const Row *b = <const Row *>other
    cdef int order = memcmp(a.key, b.key, min(a.key_bytes, b.key_bytes))
    return order if order else (1 if a.key_bytes > b.key_bytes else -1)


cdef inline char *put(char *at, const char *data, Py_ssize_t size) noexcept nogil:
    memcpy(at, data, size)
    return at + size


cdef inline char *put_digits(char *at, const char *data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t number
    for number in range(size):
        memcpy(at + 2 * number, &DIGITS[2 * <uint8_t>data[number]], 2)
    return at + 2 * size


def literals(rows, expires, /):
    cdef dict records = dict(rows)
    cdef list owners = []   # what has the bytes
    cdef list lasts = [b""]
    cdef Py_ssize_t count = 0, size = 0, at
    cdef Row *found = <Row *>malloc((len(records) + 1) * sizeof(Row))
    cdef Row *row
    cdef char *end
    cdef bytes last
    if found == NULL:
        raise MemoryError
    try:
        for key, value in records.items():
            row = &found[count]
            owners.append(as_utf8(key, &row.key, &row.key_bytes))
            owners.append(bytes_of(value, &row.value, &row.value_bytes))
            row.kind = TYPE_STR if isinstance(value, str) else TYPE_BIN
            row.last = 0
            if expires:
                when = expires.get(key)
                row.kind += TYPE_EXPIRES if when is not None else 0
                row.last = len(lasts)
                last = b",%d" % when if when else b",NULL"
                lasts.append(last)
                size += len(last)
            size += AROUND + 2 * (row.key_bytes + row.value_bytes)
            count += 1
        qsort(found, count, sizeof(Row), in_order)
        if not count:
            return ""
        text = PyUnicode_New(size - 1, 127)
        end = <char *>PyUnicode_DATA(text)
        for at in range(count):
            row = &found[at]
            if at:
                end = put(end, b",", 1)
            end = put(end, b"(X'", 3)
            end = put_digits(end, row.key, row.key_bytes)
            end = put(end, b"',X'", 4)
            end = put_digits(end, row.value, row.value_bytes)
            end = put(end, b"',", 2)
            end[0] = c"0" + row.kind
            last = <bytes>lasts[row.last]
            end = put(end + 1, PyBytes_AS_STRING(last), PyBytes_GET_SIZE(last))
            end = put(end, b")", 1)
        return text
    finally:
        free(found)
