#define _GNU_SOURCE
#include "drive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "stream.h"

// So much is read at a time, and about so much is made before it is written.
enum { CHUNK = 256 * 1024, EVENTS = 512 };

// Is added to the number of a key that nobody has put: no --first-key reaches so far.
static const uint64_t ABSENT = UINT64_C(1) << 60;

// A request on its way.
struct slot {
    uint64_t hash, since;
    uint32_t id;
    enum op op;
    bool busy, absent; // absent: nobody has put the key
};

// Bytes that could not be sent yet, or the beginning of an answer.
struct rest {
    char *data;
    size_t size, capacity;
};

struct connection {
    struct stream stream;
    bool blocked; // the kernel takes no more for now
    bool queued;  // among those that may take a request
    uint32_t in_flight;
    struct slot *slots;
    uint32_t *free; // slots that are not busy; where answers keep the order, the slots form a ring instead
    uint32_t oldest, newest, ids;
    struct rest unsent, unread;
};

struct driver {
    int epoll;
    uint32_t count, depth;
    struct connection *connections;
    struct connection **ready; // a ring of those with room for a request, for a fixed rate
    uint32_t ready_from, ready_count;
    char *in, *out;
    size_t out_capacity;
    // The run that is on.
    const struct run *run;
    struct choice *choice;
    struct result *result;
    uint64_t started, now, heard, issued, in_flight;
    bool stopped;
};

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(3);
}

static void *checked(void *memory) {
    if (memory == NULL) fail("out of memory");
    return memory;
}

static uint64_t nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void make_room(struct rest *rest, size_t size) {
    if (rest->size + size <= rest->capacity) return;
    rest->capacity = (rest->size + size) * 2;
    rest->data = checked(realloc(rest->data, rest->capacity));
}

static void keep(struct rest *rest, const char *data, size_t size) {
    make_room(rest, size);
    memcpy(rest->data + rest->size, data, size);
    rest->size += size;
}

static void drop(struct rest *rest, size_t size) {
    rest->size -= size;
    memmove(rest->data, rest->data + size, rest->size);
}

static void watch(struct driver *driver, struct connection *connection, int how) {
    uint32_t events = STREAM_TRIGGER | EPOLLIN | (connection->blocked ? EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(driver->epoll, how, connection->stream.fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
}

struct driver *driver_connect(const char *host, uint16_t port, uint32_t connections, uint32_t depth) {
    struct driver *driver = checked(calloc(1, sizeof *driver));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("%s is not a numeric IPv4 address", host);
    if ((driver->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll_create1: %s", strerror(errno));
    // The kernel may otherwise wake us 50 us late, which a fixed rate would count as latency.
    prctl(PR_SET_TIMERSLACK, 1);
    driver->count = connections;
    driver->depth = depth;
    driver->connections = checked(calloc(connections, sizeof *driver->connections));
    driver->ready = checked(calloc(connections, sizeof(struct connection *)));
    driver->in = checked(malloc(CHUNK));
    for (uint32_t i = 0; i < connections; i++) {
        struct connection *connection = &driver->connections[i];
        int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
            fail("cannot connect to %s:%u: %s", host, port, strerror(errno));
        const char *reason = stream_begin(&connection->stream, fd);
        if (reason != NULL) fail("no TLS with %s:%u: %s", host, port, reason);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        connection->slots = checked(calloc(depth, sizeof *connection->slots));
        connection->free = checked(calloc(depth, sizeof *connection->free));
        for (uint32_t slot = 0; slot < depth; slot++) connection->free[slot] = slot;
        watch(driver, connection, EPOLL_CTL_ADD);
    }
    return driver;
}

// How many requests there should be by now, and when the next one is due. All are, without a fixed rate.
static uint64_t due_at(const struct driver *driver, uint64_t call) {
    return driver->started + (uint64_t)((double)call * 1e9 / driver->run->rate);
}

static bool wants_more(const struct driver *driver) {
    const struct run *run = driver->run;
    return !driver->stopped && (run->calls == 0 || driver->issued < run->calls) &&
           (run->rate == 0 || due_at(driver, driver->issued) <= driver->now);
}

static char *add_request(struct driver *driver, struct connection *connection, char *out) {
    const struct run *run = driver->run;
    uint32_t at;
    if (run->protocol->ordered) {
        at = connection->newest;
        connection->newest = at + 1 == driver->depth ? 0 : at + 1;
    } else {
        at = connection->free[driver->depth - 1 - connection->in_flight];
    }
    bool get = run->get_percent == 100 ||
               (run->get_percent > 0 && choice_bits(driver->choice) % 100 < run->get_percent);
    bool absent = get && run->miss_percent > 0 && choice_bits(driver->choice) % 100 < run->miss_percent;
    uint64_t number = run->sequential ? choice_sequential(driver->choice) : choice_random(driver->choice);
    struct slot *slot = &connection->slots[at];
    // The slot can be told from the id, and an answer that comes twice is found out.
    *slot = (struct slot){
        .hash = key_hash(run->first_key + number + (absent ? ABSENT : 0)),
        .since = run->rate == 0 ? driver->now : due_at(driver, driver->issued),
        .id = connection->ids++ * driver->depth + at,
        .op = get ? GET : PUT,
        .busy = true,
        .absent = absent,
    };
    if (driver->in_flight++ == 0) driver->heard = driver->now;
    connection->in_flight++;
    driver->issued++;
    struct request request = {slot->id, slot->op, slot->hash};
    return run->protocol->request(out, &request, run->value_bytes);
}

// Send as much as the kernel takes; returns how much that was.
static size_t send_some(struct driver *driver, struct connection *connection, const char *data, size_t size) {
    size_t sent = 0;
    while (sent < size) {
        ssize_t taken = stream_send(&connection->stream, data + sent, size - sent);
        if (taken >= 0) sent += (size_t)taken;
        else if (errno == EAGAIN) break;
        else if (errno != EINTR) fail("send: %s after %lu calls", strerror(errno), (unsigned long)driver->result->calls);
    }
    if ((sent < size) != connection->blocked) {
        connection->blocked = sent < size;
        watch(driver, connection, EPOLL_CTL_MOD);
    }
    return sent;
}

static void send_unsent(struct driver *driver, struct connection *connection) {
    struct rest *unsent = &connection->unsent;
    drop(unsent, send_some(driver, connection, unsent->data, unsent->size));
}

// Give a connection requests, up to `limit`, and send them.
static void feed(struct driver *driver, struct connection *connection, uint32_t limit) {
    while (!connection->blocked && connection->in_flight < driver->depth && limit && wants_more(driver)) {
        char *out = driver->out;
        while (connection->in_flight < driver->depth && limit && out - driver->out < CHUNK && wants_more(driver)) {
            out = add_request(driver, connection, out);
            limit--;
        }
        size_t size = (size_t)(out - driver->out), sent = send_some(driver, connection, driver->out, size);
        if (sent < size) keep(&connection->unsent, driver->out + sent, size - sent);
    }
}

static void make_ready(struct driver *driver, struct connection *connection) {
    if (connection->queued || connection->blocked || connection->in_flight == driver->depth) return;
    connection->queued = true;
    driver->ready[(driver->ready_from + driver->ready_count++) % driver->count] = connection;
}

// At a fixed rate: whatever is due goes to the connections in turn. What finds no room waits, and its time runs.
static void feed_due(struct driver *driver) {
    while (driver->ready_count && wants_more(driver)) {
        struct connection *connection = driver->ready[driver->ready_from];
        driver->ready_from = (driver->ready_from + 1) % driver->count;
        driver->ready_count--;
        connection->queued = false;
        feed(driver, connection, 1);
        make_ready(driver, connection);
    }
}

static void count(struct driver *driver, const struct slot *slot, const struct response *response) {
    struct result *result = driver->result;
    result->calls++;
    *(slot->op == PUT ? &result->puts : &result->gets) += 1;
    switch (response->answer) {
    case STORED: result->wrong += slot->op != PUT; break;
    case MISSING:
        *(slot->absent ? &result->absent : slot->op == GET ? &result->missing : &result->wrong) += 1;
        break;
    case FOUND:
        if (slot->op != GET || slot->absent || response->size != driver->run->value_bytes ||
            !is_value(response->text, response->size, slot->hash))
            result->wrong++;
        break;
    case REFUSED:
        if (result->refused++ == 0)
            snprintf(result->refusal, sizeof result->refusal, "%.*s", (int)response->size, response->text);
    }
    histogram_add(&result->latency, driver->now > slot->since ? driver->now - slot->since : 0);
}

// The request that is answered. Answers that belong to none end the run: nothing could be trusted any more.
static struct slot *asked(struct driver *driver, struct connection *connection, uint32_t id) {
    bool ordered = driver->run->protocol->ordered;
    uint32_t at = ordered ? connection->oldest : id % driver->depth;
    struct slot *slot = &connection->slots[at];
    if (!slot->busy || (!ordered && slot->id != id)) fail("an answer to a question that nobody asked");
    slot->busy = false;
    connection->in_flight--;
    driver->in_flight--;
    if (ordered) connection->oldest = at + 1 == driver->depth ? 0 : at + 1;
    else connection->free[driver->depth - 1 - connection->in_flight] = at;
    return slot;
}

// Take all complete answers out of the data; returns how many bytes they had.
static size_t take_answers(struct driver *driver, struct connection *connection, const char *data, size_t size) {
    size_t taken = 0;
    while (taken < size) {
        struct response response;
        long used = driver->run->protocol->read_response(data + taken, size - taken, &response);
        if (used < 0) fail("bytes that are no answer after %lu calls", (unsigned long)driver->result->calls);
        if (used == 0) break;
        count(driver, asked(driver, connection, response.id), &response);
        taken += (size_t)used;
    }
    if (taken) {
        uint64_t pause = driver->now - driver->heard;
        if (pause > driver->result->worst_pause) driver->result->worst_pause = pause;
        driver->heard = driver->now;
    }
    return taken;
}

// Read once; returns whether there may be more.
static bool receive(struct driver *driver, struct connection *connection) {
    struct rest *unread = &connection->unread;
    // Answers are read where they are taken from; only the beginning of one is kept with its connection.
    if (unread->size) make_room(unread, CHUNK);
    char *into = unread->size ? unread->data + unread->size : driver->in;
    ssize_t size = stream_recv(&connection->stream, into, CHUNK);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
    if (size <= 0)
        fail("the server ended a connection after %lu calls: %s", (unsigned long)driver->result->calls,
             size ? strerror(errno) : "closed");
    driver->now = nanoseconds();
    if (unread->size == 0) {
        size_t taken = take_answers(driver, connection, driver->in, (size_t)size);
        if (taken < (size_t)size) keep(unread, driver->in + taken, (size_t)size - taken);
    } else {
        unread->size += (size_t)size;
        drop(unread, take_answers(driver, connection, unread->data, unread->size));
    }
    return size == CHUNK;
}

// Serve a connection that something happened to.
static void serve(struct driver *driver, struct connection *connection, uint32_t events) {
    if (events & EPOLLOUT) send_unsent(driver, connection);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        while (receive(driver, connection)) continue;
    if (driver->run->seconds > 0 && (double)(driver->now - driver->started) > driver->run->seconds * 1e9)
        driver->stopped = true;
    if (driver->run->rate == 0) feed(driver, connection, driver->depth);
    else make_ready(driver, connection);
}

// How long to sleep at most: until the next request is due, or until patience ends.
static struct timespec nap(const struct driver *driver, double patience) {
    double left = patience * 1e9;
    const struct run *run = driver->run;
    bool finished = driver->stopped || (run->calls && driver->issued >= run->calls);
    if (run->rate > 0 && driver->ready_count && !finished) {
        uint64_t due = due_at(driver, driver->issued);
        left = due > driver->now ? (double)(due - driver->now) : 0;
    }
    return (struct timespec){.tv_sec = (time_t)(left / 1e9), .tv_nsec = (long)fmod(left, 1e9)};
}

void driver_run(struct driver *driver, const struct run *run, struct choice *choice, double patience,
                struct result *result) {
    size_t capacity = CHUNK + run->value_bytes + MESSAGE_BYTES;
    if (capacity > driver->out_capacity) driver->out = checked(realloc(driver->out, driver->out_capacity = capacity));
    memset(result, 0, sizeof *result);
    driver->run = run;
    driver->choice = choice;
    driver->result = result;
    driver->issued = driver->in_flight = 0;
    driver->stopped = false;
    double cpu = cpu_seconds();
    driver->started = driver->now = driver->heard = nanoseconds();
    for (uint32_t i = 0; i < driver->count; i++) {
        if (run->rate == 0) feed(driver, &driver->connections[i], driver->depth);
        else make_ready(driver, &driver->connections[i]);
        driver->now = nanoseconds();
    }
    struct epoll_event events[EVENTS];
    for (;;) {
        if (run->rate > 0) {
            driver->now = nanoseconds();
            if (run->seconds > 0 && (double)(driver->now - driver->started) > run->seconds * 1e9) driver->stopped = true;
            feed_due(driver);
        }
        bool finished = driver->stopped || (run->calls && driver->issued >= run->calls);
        if (finished && driver->in_flight == 0) break;
        struct timespec wait = nap(driver, patience);
        int found = epoll_pwait2(driver->epoll, events, EVENTS, &wait, NULL);
        if (found < 0 && errno != EINTR) fail("epoll_pwait2: %s", strerror(errno));
        if (found == 0 && driver->in_flight && (double)(nanoseconds() - driver->heard) > patience * 1e9)
            fail("no answer for %g s; %lu calls were answered", patience, (unsigned long)result->calls);
        for (int i = 0; i < found; i++) serve(driver, events[i].data.ptr, events[i].events);
    }
    result->seconds = (double)(nanoseconds() - driver->started) / 1e9;
    result->cpu_seconds = cpu_seconds() - cpu;
}
