# What must hold between calls of a table, for its check().

cdef object audit(Table table):
    cdef Entry *entry
    cdef uint32_t at, bucket, chained = 0, clean = 0, expiring = 0, blocks = 0, noted = 0
    cdef uint64_t in_all = 0
    for bucket in range(table.mask + 1 + table.split):
        at = table.buckets[bucket]
        while at:
            entry = &table.entries[at]
            assert table.hash_of(table.key_of(entry), entry.key_bytes) == entry.hash, "a hash is not that of its key"
            assert table.bucket_of(entry.hash) == bucket, "an entry is in another's bucket"
            assert table.version_of_entry(entry) <= table.version, "a version was never given"
            clean += (entry.flags & CLEAN != 0)
            expiring += (entry.flags & EXPIRES != 0)
            noted += (entry.flags & NOTED != 0)
            if entry.flags & EXPIRES:
                assert table.expiry_of_entry(entry), "a record expires never"
                assert 0 < table.ends[at / RUN] <= table.expiry_of_entry(entry), "an end is not known"
            in_all += table.bytes_of(entry)
            chained += 1
            assert chained <= table.count, "a chain has an entry too many"
            at = entry.chain
    assert chained == table.count, "the chains miss an entry"
    assert table.count <= table.capacity, "there are too many records"
    assert table.count <= table.mask + table.split, "the table did not grow"
    assert clean == table.clean, "clean is miscounted"
    assert expiring == table.expiring, "those that expire are miscounted"
    assert in_all == table.bytes, "bytes are miscounted"
    assert noted <= table.noted_count, "a record is noted nowhere"
    for at in range(1, table.next_entry):
        blocks += (table.entries[at].block != NULL)
    assert blocks == table.count, "a block is lost"
    assert table.next_entry <= table.capacity + 1, "an entry that came free is not used again"
    if table.policy == S3FIFO:
        audit_queues(table)
    else:
        audit_order(table)


cdef object audit_order(Table table):
    cdef Order *order
    cdef uint32_t at, before, listed = 0, which = table.lists[0].more
    cdef uint64_t uses = 0
    while True:
        order = &table.lists[which]
        before, at = 0, order.first
        while at:
            assert table.entries[at].before == before, "an order is broken"
            assert not which or (<uint64_t *>table.entries[at].block)[0] == which, "an entry is in another's list"
            listed += 1
            assert listed <= table.count, "an order has an entry too many"
            before, at = at, table.entries[at].after
        assert order.last == before, "an order has another end"
        if not which:
            break
        assert order.first, "a list is empty"
        assert order.uses > uses, "the lists are out of order"
        assert table.lists[order.more].fewer == which, "the lists are broken"
        uses, which = order.uses, order.more
    assert listed == table.count, "the order misses an entry"
