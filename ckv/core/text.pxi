# The bytes of keys and values, without a copy where that can be.

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)


cdef inline object as_utf8(object text, const char **data, Py_ssize_t *size):
    # Where the bytes of a text are: in the object that is returned.
    if type(text) is str and PyUnicode_IS_COMPACT_ASCII(text):
        data[0] = <const char *>PyUnicode_DATA(text)
        size[0] = PyUnicode_GET_LENGTH(text)
        return text
    return encoded(text, data, size)


cdef inline object bytes_of(object value, const char **data, Py_ssize_t *size):
    # The same of a value, which may be bytes.
    if type(value) is bytes:
        data[0], size[0] = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        return value
    return as_utf8(value, data, size)


cdef object encoded(object text, const char **data, Py_ssize_t *size):
    # A copy of the others, for Python's own way of showing its bytes leaves a second copy with the str.
    if not isinstance(text, str):
        raise TypeError(f"a key is a str, and a value a str or bytes: not {type(text).__name__}")
    text = text.encode("utf-8", "surrogateescape")
    data[0], size[0] = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
    return text
