// The text protocol of memcached: set and get.
#include "data.h"
#include "lines.h"
#include "wire.h"

static char *put_data(char *out, uint64_t hash, size_t value_bytes) {
    out = PUT_LITERAL(put_digits(out, value_bytes), "\r\n");
    make_value(out, value_bytes, hash);
    return PUT_LITERAL(out + value_bytes, "\r\n");
}

static char *request(char *out, const struct request *request, size_t value_bytes) {
    out = request->op == PUT ? PUT_LITERAL(out, "set ") : PUT_LITERAL(out, "get ");
    spell_key(out, request->hash);
    out += KEY_BYTES;
    if (request->op == GET) return PUT_LITERAL(out, "\r\n");
    return put_data(PUT_LITERAL(out, " 0 0 "), request->hash, value_bytes);
}

static char *answer(char *out, const struct request *request, size_t value_bytes) {
    if (request->op == PUT) return PUT_LITERAL(out, "STORED\r\n");
    out = PUT_LITERAL(out, "VALUE ");
    spell_key(out, request->hash);
    out = put_data(PUT_LITERAL(out + KEY_BYTES, " 0 "), request->hash, value_bytes);
    return PUT_LITERAL(out, "END\r\n");
}

// The number at the end of a line: how many bytes follow it.
static size_t last_number(const char *line, const char *body) {
    const char *at = body - 2;
    while (at > line && at[-1] != ' ') at--;
    return digits(at);
}

static long read_response(const char *data, size_t size, struct response *response) {
    const char *end = data + size, *body = line_end(data, end);
    if (body == NULL) return 0;
    if (BEGINS_WITH(data, end, "VALUE ")) {
        response->answer = FOUND;
        response->text = body;
        response->size = last_number(data, body);
        size_t rest = response->size + sizeof("\r\nEND\r\n") - 1;
        return (size_t)(end - body) < rest ? 0 : body - data + (long)rest;
    }
    response->text = data;
    response->size = (size_t)(body - data) - 2;
    response->answer = BEGINS_WITH(data, end, "STORED") ? STORED : BEGINS_WITH(data, end, "END") ? MISSING : REFUSED;
    return body - data;
}

static long read_request(const char *data, size_t size, struct request *request) {
    const char *end = data + size, *body = line_end(data, end);
    if (body == NULL) return 0;
    if (body - data < 4 + KEY_BYTES) return -1;
    request->op = *data == 's' ? PUT : GET;
    request->hash = read_key(data + 4);
    if (request->op == GET) return body - data;
    size_t rest = last_number(data, body) + 2;
    return (size_t)(end - body) < rest ? 0 : body - data + (long)rest;
}

const struct protocol memcached = {"memcached", true, request, answer, read_request, read_response};
