"""How long requests took that are answered here, by their kind: :mod:`ckv.protocol.latencies` says what is counted."""

from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from *:
    """
    #ifndef CKV_LOOKING
    #define CKV_LOOKING 1
    #endif
    static const uint64_t ckv_one_of[] = {1, 1 << 8, 1 << 16, 1 << 24, 0, 0, 0};
    """
    enum: LOOKING "CKV_LOOKING"  # 0 makes a core that neither times nor notes: bench/looking.py measures what that costs
    const uint64_t ONE_OF "ckv_one_of"[]  # a request of each Kind, beside others: 0 where it has no time

cdef enum:
    KINDS = 4  # of requests that have times: the first ones of ckv.core.request.Kind
    MOST_BOUNDS = 16


cdef struct Times:
    uint64_t answered[KINDS]                 # requests of each kind since the last batch
    uint64_t counts[KINDS][MOST_BOUNDS + 1]  # by bucket
    double seconds[KINDS]
    double bounds[MOST_BOUNDS]               # seconds up to which each bucket goes
    int buckets                              # so many bounds; the last bucket has none


cdef inline bint set_bounds(Times *times, tuple bounds) except False:
    cdef int i
    if len(bounds) > MOST_BOUNDS:
        raise ValueError(f"more than {MOST_BOUNDS} bounds")
    times.buckets = <int>len(bounds)
    for i in range(times.buckets):
        times.bounds[i] = bounds[i]
    return True


cdef inline double seconds_now() noexcept nogil:
    cdef timespec now
    if not LOOKING:
        return 0
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + 1e-9 * now.tv_nsec


# All that was answered since the last call of this took so long.
cdef inline void took(Times *times, double seconds) noexcept nogil:
    cdef int bucket = 0, kind
    if not LOOKING:
        return
    while bucket < times.buckets and seconds > times.bounds[bucket]:
        bucket += 1
    for kind in range(KINDS):
        if times.answered[kind]:
            times.counts[kind][bucket] += times.answered[kind]
            times.seconds[kind] += times.answered[kind] * seconds
            times.answered[kind] = 0


# The counts and the seconds of each kind.
cdef inline list told(const Times *times):
    cdef list found = []
    cdef list counts
    cdef int kind, bucket
    for kind in range(KINDS):
        counts = []
        for bucket in range(times.buckets + 1):
            counts.append(times.counts[kind][bucket])
        found.append((counts, times.seconds[kind]))
    return found
