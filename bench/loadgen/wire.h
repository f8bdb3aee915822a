// The protocols, from both sides: the generator writes requests and reads answers, the null server does the reverse.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op { PUT, GET };

struct request {
    uint32_t id; // msgpack-RPC alone has one
    enum op op;
    uint64_t hash;
};

enum answer { STORED, FOUND, MISSING, REFUSED };

struct response {
    uint32_t id;
    enum answer answer;
    const char *text; // the value that was found, or why the request was refused
    size_t size;
};

// A message without its value is never longer.
enum { MESSAGE_BYTES = 128 };

struct protocol {
    const char *name;
    bool ordered; // answers come in the order of the requests
    // Write a message; returns its end. The value is made on the spot.
    char *(*request)(char *out, const struct request *request, size_t value_bytes);
    char *(*answer)(char *out, const struct request *request, size_t value_bytes);
    // Read a message: the bytes it takes, 0 when it is not complete, -1 when it is not understood.
    long (*read_request)(const char *data, size_t size, struct request *request);
    long (*read_response)(const char *data, size_t size, struct response *response);
};

// NULL for an unknown name.
const struct protocol *protocol_named(const char *name);

extern const struct protocol msgpack, resp, memcached;
