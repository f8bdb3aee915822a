# Memory: what malloc gives for a block, and address space for the arrays of a table.

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *, size_t, int, int, int, int64_t)
    int munmap(void *, size_t)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE
    void *MAP_FAILED

cdef extern from "malloc.h" nogil:
    size_t malloc_usable_size(void *)

cdef extern from * nogil:
    """
    /* What malloc gives for a wish, so that a value which changes its length a little stays where it is. A sanitizer is
       to see each byte too many. */
    #ifdef CKV_SANITIZED
    #define ckv_rounded(bytes) (bytes)
    #else
    #define ckv_rounded(bytes) (((bytes) + 23) / 16 * 16 - 8)
    #endif
    """
    size_t rounded "ckv_rounded"(size_t bytes)


cdef inline size_t expiry_bytes(uint64_t expires) noexcept nogil:
    # That a record takes besides.
    return EXPIRY_BYTES if expires else 0


cdef void *reserved(size_t *size, size_t wanted) except NULL:
    # Address space that is all zeros; an entry, bucket or list takes memory when it is first written to.
    cdef void *area = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if area == MAP_FAILED:
        raise MemoryError(f"no address space of {wanted} bytes for a table of records")
    size[0] = wanted
    return area
