# The loops over requests, for the class Server of a protocol: over what several sessions were sent, and over what one was.
#
# The module has `read_request`, `pass_by`, `begin` and `write_value_head` of its protocol, CRLF_BYTES of what is behind
# a value, and `is_served`, whether a key is for this node. Its Server has answer(), for one request, and several(), for a message of many.
#
# Requests are taken in windows. First all of a window are read and their keys hashed, and the processor is asked for the
# memory that each will need; then they are answered. So the misses of its caches overlap, in place of each being waited
# for (`Group prefetching`, Chen, Ailamaki, Gibbons and Mowry 2004).
#
# No pointer into the table outlives an answer, for the next request may move what it points to; none into the bytes of a
# message outlives the call that was given them.


cdef list serve_sessions(Server server, list inbox):
    cdef double began = seconds_now()
    server.table.is_in_loop = True
    try:
        return serve_in_windows(server, inbox)
    finally:
        server.table.is_in_loop = False
        server.table.now = 0
        took(&server.times, seconds_now() - began)


cdef list serve_in_windows(Server server, list inbox):
    cdef list outcomes = []
    cdef Request window[WINDOW]
    cdef Input inputs[WINDOW]
    cdef bint lone[WINDOW]
    cdef Py_ssize_t first = 0, count = len(inbox), length = 0
    cdef uint64_t before, kinds
    cdef int size, i
    while first < count and length < ENOUGH_BYTES:
        size = <int>min(WINDOW, count - first)
        kinds = 0
        # Most clients send one request and wait for its answer, so the window reaches over sessions.
        for i in range(size):
            inputs[i] = input_of(<bytes?>(<tuple?>inbox[first + i])[1])
            lone[i] = read(server, &inputs[i], &window[i]) and inputs[i].at == inputs[i].end
            if not lone[i]:
                window[i].hash = 0
        prefetch(server.table, window, size)
        for i in range(size):
            session, data = <tuple>inbox[first + i]
            before = server.requests
            answers = large(server, &window[i]) if lone[i] else None
            if answers is not None:
                server.requests += 1
                kinds += one_of(&window[i])
            else:
                server.out.length = 0
                if lone[i] and server.answer(&window[i], session):
                    answers = slice_of(server.out.data, end_of(&server.out))
                    server.requests += 1
                    kinds += one_of(&window[i])
                else:
                    window[i].kind = UNNOTED
                    inputs[i] = input_of(<bytes>data)
                    answers = serve(server, &inputs[i], session)
            outcomes.append(answers if inputs[i].at == inputs[i].end else
                            (answers, PyBytes_GET_SIZE(data) - (inputs[i].end - inputs[i].at), server.why))
            if server.counts_calls:
                session.calls += server.requests - before
            length += PyBytes_GET_SIZE(answers)
            if length >= ENOUGH_BYTES:
                size = i + 1
                break
        note(server, window, size, kinds)
        first += size
    empty(&server.out)
    return outcomes


# The answers to all that memory decides, and what Python answers between.
cdef bytes serve(Server server, Input *input, object session):
    cdef const uint8_t *start
    cdef bytes answers
    server.stop = False
    while input.at < input.end:
        if server.stop or server.out.length >= ENOUGH_BYTES:
            server.why = LEFT if server.stop else ENOUGH
            break
        if run(server, input, session) or (not input.cut and server.several(input, session)):
            continue
        start = input.at
        if not input.cut and pass_by(input, server.table.may_put):
            answers, going_on = session.ask(slice_of(start, input.at))
            if going_on and input.at < input.end and not is_enough(&server.out, answers):
                append(&server.out, answers)
                continue  # One that memory does not decide ends nothing.
            server.why = ENOUGH if going_on else LEFT
            # They may have any size. If they are alone this does not copy them.
            return slice_of(server.out.data, end_of(&server.out)) + answers
        elif input.cut and begin(server, start, input.end, session):
            input.at = input.end
        else:
            input.at = start
        server.why = CUT if input.cut else LEFT
        break
    return slice_of(server.out.data, end_of(&server.out))


# Requests up to the first that is not answered; whether there was one that was.
cdef bint run(Server server, Input *input, object session) except -1:
    cdef Request window[WINDOW]
    cdef const uint8_t *starts[WINDOW]
    cdef const uint8_t *start = input.at
    cdef uint64_t kinds
    cdef int size = WINDOW, i
    while size == WINDOW:
        size = 0
        kinds = 0
        while size < WINDOW:
            starts[size] = input.at
            if not read(server, input, &window[size]):
                break
            kinds += one_of(&window[size])
            size += 1
        prefetch(server.table, window, size)
        for i in range(size):
            if server.out.length >= ENOUGH_BYTES or not server.answer(&window[i], session):
                note(server, window, i, kinds_of(window, i))
                input.at = starts[i]
                input.cut = False
                server.requests += i
                return input.at > start
        note(server, window, size, kinds)
        server.requests += size
    return input.at > start


# A request with a key of this node, short enough for the table. Else `at` stays where it was.
cdef inline bint read(Server server, Input *input, Request *request) noexcept:
    cdef const uint8_t *start = input.at
    if read_request(input, request) and request.key_bytes <= MAX_KEY_BYTES and is_served(server, request):
        hash_key(server.table, request)
        return True
    input.at = start
    return False


# The answer to a GET with a large value, written where it is to be; None for any other request.
cdef bytes large(Server server, const Request *request):
    cdef Table table = server.table
    cdef uint8_t[2 * MAX_ANSWER_HEAD_BYTES] head
    cdef uint32_t at = table.find(request.key, request.key_bytes, request.hash)
    cdef Entry *entry = &table.entries[at]
    cdef size_t size
    cdef bytes answer
    cdef char *to
    if request.kind != GET or not at or entry.value_bytes < LARGE_BYTES or table.is_over_entry(entry):
        return None
    size = write_value_head(head, request, entry.value_bytes, entry.flags & TEXT) - head
    answer = PyBytes_FromStringAndSize(NULL, size + entry.value_bytes + CRLF_BYTES)
    to = PyBytes_AS_STRING(answer)
    memcpy(to, head, size)
    memcpy(to + size, table.value_of(entry), entry.value_bytes)
    memcpy(to + size + entry.value_bytes, b"\r\n", CRLF_BYTES)
    table.used(at)
    table.hits += 1
    return answer


# What a request adds to those of a window, of which there are so many of each kind in eight bits.
cdef inline uint64_t one_of(const Request *request) noexcept nogil:
    return ONE_OF[request.kind] if LOOKING else 0


cdef inline uint64_t kinds_of(const Request *window, int count) noexcept nogil:
    cdef uint64_t kinds = 0
    cdef int i
    for i in range(count):
        kinds += one_of(&window[i])
    return kinds


# Counts the requests of a window that were answered here, of such kinds, and has the keys of some noted, when all of the
# window are answered: one by one, each would have two counters changed in memory.
cdef inline void note(Server server, const Request *window, int count, uint64_t kinds) noexcept:
    cdef int64_t keys = 0
    cdef int kind = 0
    if not LOOKING:
        return
    while kinds:
        server.times.answered[kind] += kinds & 0xFF
        keys += kinds & 0xFF
        kinds >>= 8
        kind += 1
    if keys <= server.to_skip:
        server.to_skip -= keys
    else:
        note_keys(server, window, count)


cdef void note_keys(Server server, const Request *window, int count) noexcept:
    cdef int i
    for i in range(count):
        if window[i].kind < KINDS:
            server.to_skip -= 1
            if server.to_skip < 0:
                note_key(server, &window[i])


# What that raises is told on stderr and costs no answer. No pointer into the table outlives this: Python is called, so
# finalizers may run that delete the record.
cdef void note_key(Server server, const Request *request) noexcept:
    server.to_skip = server.sample(slice_of(request.key, request.key + request.key_bytes))
