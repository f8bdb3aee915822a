"""The slot of a key, for the bytes of it: as ``ckv.cluster.slots.slot_of`` for a str."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

cdef enum:
    SLOTS = 16384


cdef inline uint32_t slot_of(const uint8_t *key, size_t size) noexcept nogil:
    cdef const uint8_t *end = key + size
    cdef const uint8_t *start = <const uint8_t *>memchr(key, c"{", size)
    cdef const uint8_t *stop
    cdef uint32_t crc = 0, byte
    if start != NULL:
        start += 1
        stop = <const uint8_t *>memchr(start, c"}", end - start)
        if stop != NULL and stop > start:
            key = start
            end = stop
    while key < end:
        # CRC-16/XMODEM: what its polynomial, 0x1021, makes of the eight bits of a byte at a time.
        byte = ((crc >> 8) ^ key[0]) & 0xFF
        byte ^= byte >> 4
        crc = ((crc << 8) ^ (byte << 12) ^ (byte << 5) ^ byte) & 0xFFFF
        key += 1
    return crc % SLOTS
