// The connections to a server, and one run of requests over them.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "choice.h"
#include "histogram.h"
#include "wire.h"

struct run {
    const struct protocol *protocol;
    uint32_t connections, depth; // requests in flight are at most connections * depth
    uint32_t value_bytes;
    uint32_t get_percent; // 0: PUT alone; 100: GET alone
    uint32_t miss_percent; // of the GETs, those of keys that nobody has put
    uint64_t first_key;   // is added to every number that is chosen
    bool sequential;
    uint64_t calls;  // stop after so many; 0: no bound
    double seconds;  // stop after so long; 0: no bound
    double rate;     // calls a second, evenly spaced; 0: the next one as soon as there is an answer
};

struct result {
    uint64_t calls, puts, gets, refused, wrong;
    uint64_t missing, absent; // GETs that found nothing: of keys that were put, and of keys that nobody has put
    char refusal[200]; // what the server said first
    double seconds, cpu_seconds;
    uint64_t worst_pause; // nanoseconds without any answer while requests were in flight
    struct histogram latency;
};

// Connects to a numeric IPv4 address; ends the process where that fails.
struct driver *driver_connect(const char *host, uint16_t port, uint32_t connections, uint32_t depth);

// Ends the process when the server breaks a connection, sends what the protocol does not allow, or says nothing for
// `patience` seconds.
void driver_run(struct driver *driver, const struct run *run, struct choice *choice, double patience,
                struct result *result);
