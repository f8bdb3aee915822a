# The bytes of a str, without a copy where that can be.

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *)
    void PyErr_Clear()


cdef inline object as_utf8(object text, const char **data, Py_ssize_t *size):
    # Where the bytes of a text are: in the object that is returned.
    data[0] = PyUnicode_AsUTF8AndSize(text, size)
    return text if data[0] != NULL else encoded(text, data, size)


cdef object encoded(object text, const char **data, Py_ssize_t *size):
    # The same for one with bytes that are no UTF-8, which are surrogates in a str.
    PyErr_Clear()
    if not isinstance(text, str):
        raise TypeError(f"a key is a str, and a value a str or bytes: not {type(text).__name__}")
    text = text.encode("utf-8", "surrogateescape")
    data[0], size[0] = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
    return text
