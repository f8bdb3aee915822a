// RESP, the protocol of Redis: SET and GET.
#include "data.h"
#include "lines.h"
#include "wire.h"

static char *put_bulk(char *out, uint64_t hash, size_t value_bytes) {
    out = PUT_LITERAL(put_digits(PUT_LITERAL(out, "$"), value_bytes), "\r\n");
    make_value(out, value_bytes, hash);
    return PUT_LITERAL(out + value_bytes, "\r\n");
}

static char *request(char *out, const struct request *request, size_t value_bytes) {
    if (request->op == PUT) out = PUT_LITERAL(out, "*3\r\n$3\r\nSET\r\n$16\r\n");
    else out = PUT_LITERAL(out, "*2\r\n$3\r\nGET\r\n$16\r\n");
    spell_key(out, request->hash);
    out = PUT_LITERAL(out + KEY_BYTES, "\r\n");
    return request->op == PUT ? put_bulk(out, request->hash, value_bytes) : out;
}

static char *answer(char *out, const struct request *request, size_t value_bytes) {
    if (request->op == PUT) return PUT_LITERAL(out, "+OK\r\n");
    return put_bulk(out, request->hash, value_bytes);
}

static long read_response(const char *data, size_t size, struct response *response) {
    const char *end = data + size, *body = line_end(data, end);
    if (body == NULL) return 0;
    response->text = data + 1;
    response->size = (size_t)(body - data) - 3;
    switch (*data) {
    case '+': response->answer = STORED; break;
    case '-': response->answer = REFUSED; break;
    case '$':
        if (data[1] == '-') {
            response->answer = MISSING;
            break;
        }
        response->answer = FOUND;
        response->text = body;
        response->size = digits(data + 1);
        if ((size_t)(end - body) < response->size + 2) return 0;
        return body - data + (long)response->size + 2;
    default: return -1;
    }
    return body - data;
}

// A bulk string that begins at `*at`, which moves behind it; NULL when it is not complete.
static const char *take_bulk(const char **at, const char *end) {
    const char *body = line_end(*at, end);
    if (body == NULL) return NULL;
    size_t size = digits(*at + 1);
    if ((size_t)(end - body) < size + 2) return NULL;
    *at = body + size + 2;
    return body;
}

static long read_request(const char *data, size_t size, struct request *request) {
    const char *end = data + size, *at = line_end(data, end);
    if (at == NULL) return 0;
    const char *name = take_bulk(&at, end);
    if (name == NULL) return 0;
    request->op = *name == 'S' ? PUT : GET;
    const char *key = take_bulk(&at, end);
    if (key == NULL) return 0;
    if (at - key != KEY_BYTES + 2) return -1;
    request->hash = read_key(key);
    if (request->op == PUT && take_bulk(&at, end) == NULL) return 0;
    return at - data;
}

const struct protocol resp = {"resp", true, request, answer, read_request, read_response};
