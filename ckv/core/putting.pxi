# A record that Python puts.

cdef bint put_record(Table table, key, value, uint64_t version, bint clean, uint64_t expires) except -1:
    cdef Py_ssize_t key_bytes, value_bytes
    cdef const char *key_data
    cdef const char *value_data
    cdef object key_owner = as_utf8(key, &key_data, &key_bytes)
    cdef object value_owner = bytes_of(value, &value_data, &value_bytes)
    cdef uint32_t flags = (CLEAN if clean else 0) | (0 if type(value) is bytes else TEXT)
    if key_bytes > MAX_KEY_BYTES or <uint64_t>value_bytes > MAX_VALUE_BYTES:
        raise ValueError(f"too long for the table: a key of {key_bytes} bytes, a value of {value_bytes}")
    cdef uint32_t hash = table.hash_of(<const uint8_t *>key_data, key_bytes)
    cdef uint32_t at = table.find(<const uint8_t *>key_data, key_bytes, hash)
    if not table.has_room(at, key_bytes, value_bytes + expiry_bytes(expires)):
        return False
    if not version:
        version = table.version + 1
    if at:
        if not table.store(&table.entries[at], <const uint8_t *>value_data, value_bytes, flags, version, NULL, expires):
            raise MemoryError
        table.used(at)
    elif not table.insert(<const uint8_t *>key_data, key_bytes, hash,
                          <const uint8_t *>value_data, value_bytes, flags, version, NULL, expires):
        raise MemoryError
    if version > table.version:
        table.version = version
    return True


cdef bint has_room_for_record(Table table, key, value, uint64_t expires) except -1:
    cdef Py_ssize_t key_bytes, value_bytes
    cdef const char *data
    cdef object owner = as_utf8(key, &data, &key_bytes)
    cdef uint32_t at = table.find(<const uint8_t *>data, key_bytes, table.hash_of(<const uint8_t *>data, key_bytes))
    owner = bytes_of(value, &data, &value_bytes)
    return table.has_room(at, key_bytes, value_bytes + expiry_bytes(expires))
