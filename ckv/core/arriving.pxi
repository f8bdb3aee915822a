# A large PUT that has not arrived as a whole. Its value is read to where it will stay, the block of a record to be, so that it
# is neither unpacked nor copied.

cdef extern from "unistd.h" nogil:
    ssize_t c_read "read"(int fd, void *to, size_t size)

cdef bytes MARK = bytes(64 * 1024)  # for a reader that goes by how much comes: much

@cython.final
cdef class Arriving:
    cdef bytes beginning    # of the message, up to the value
    cdef Request request    # with a block, NULL when memory was out, and no value; other pointers are into `beginning`
    cdef uint8_t *end       # of the value, in the block
    cdef readonly size_t missing

    def __cinit__(self, Table table not None, bytes beginning not None):
        cdef Input input = input_of(beginning)
        self.beginning = beginning
        read_head(&input, &self.request)
        read_call(&input, &self.request)  # but for the value
        self.request.block = table.new_block(self.request.key, self.request.key_bytes, self.request.value_bytes)
        self.request.value = NULL
        self.end = self.request.block + table.head + self.request.key_bytes + self.request.value_bytes
        self.missing = self.request.value_bytes

    def __dealloc__(self):
        free(self.request.block)

    @property
    def mark(self):
        return MARK

    def read(self, int fd, size):
        # All that is there, of it alone, for nobody is told of a socket again in which something was left.
        cdef ssize_t count
        cdef bytes found = b""
        while self.missing:
            count = c_read(fd, self.end - self.missing, self.missing)
            if count < 0 and found is not MARK:
                PyErr_SetFromErrno(OSError)
            if count <= 0:
                break
            found = MARK
            self.missing -= count
        return found

    def take(self, bytes data not None):
        cdef size_t size = min(<size_t>PyBytes_GET_SIZE(data), self.missing)
        memcpy(self.end - self.missing, PyBytes_AS_STRING(data), size)
        self.missing -= size
        return size

    def message(self):
        return self.beginning + slice_of(self.end - self.request.value_bytes, self.end - self.missing)
