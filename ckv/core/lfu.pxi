# LFU: one list for each number of uses, and an entry goes from its list to the next one. The O(1) LFU of Shah, Mitra and
# Matani (2010).

cdef void to_next_list(Table table, uint32_t at) noexcept nogil:
    cdef uint64_t *place = <uint64_t *>table.entries[at].block
    cdef uint32_t which = <uint32_t>place[0], more = table.lists[which].more
    if not more or table.lists[more].uses != table.lists[which].uses + 1:
        if table.lists[which].first == table.lists[which].last:
            table.lists[which].uses += 1  # it is alone: the list goes with it
            return
        more = new_list(table, table.lists[which].uses + 1, which)
    table.take_out(which, at)
    if not table.lists[which].first:
        drop_list(table, which)
    table.append(more, at)
    place[0] = more


cdef uint32_t new_list(Table table, uint64_t uses, uint32_t fewer) noexcept nogil:
    # Behind the one with fewer uses. There are never more lists than entries, and one while an entry changes over.
    cdef uint32_t which = table.free_list, more = table.lists[fewer].more
    if which:
        table.free_list = table.lists[which].more
    else:
        which = table.next_list
        table.next_list += 1
    table.lists[which] = Order(uses, 0, 0, fewer, more)
    table.lists[fewer].more = which
    table.lists[more].fewer = which
    return which


cdef void drop_list(Table table, uint32_t which) noexcept nogil:
    cdef Order *order = &table.lists[which]
    table.lists[order.fewer].more = order.more
    table.lists[order.more].fewer = order.fewer
    order.more = table.free_list
    table.free_list = which
