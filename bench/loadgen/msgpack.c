// msgpack-RPC: [0, id, "PUT", [key, value]] is answered by [1, id, nil, true],
// and [0, id, "GET", [key]] by [1, id, nil, [true, value]], or [false, ""] where there is no such key.
#include <string.h>

#include "data.h"
#include "wire.h"

enum { NIL = 0xC0, FALSE = 0xC2, TRUE = 0xC3, ARRAY = 0x90, STR = 0xA0, UINT32 = 0xCE };

static char *put_byte(char *out, unsigned byte) {
    *out = (char)byte;
    return out + 1;
}

// A number of 1, 2 or 4 bytes, the most significant one first.
static char *put_number(char *out, uint64_t number, int bytes) {
    while (bytes--) out = put_byte(out, (unsigned)(number >> 8 * bytes) & 255);
    return out;
}

static char *put_str(char *out, size_t size) {
    if (size < 32) return put_byte(out, STR | (unsigned)size);
    int width = size < 256 ? 1 : size < 65536 ? 2 : 4;
    return put_number(put_byte(out, width == 1 ? 0xD9 : width == 2 ? 0xDA : 0xDB), size, width);
}

static char *put_value(char *out, uint64_t hash, size_t size) {
    out = put_str(out, size);
    make_value(out, size, hash);
    return out + size;
}

static char *request(char *out, const struct request *request, size_t value_bytes) {
    out = put_byte(put_byte(out, ARRAY | 4), 0);
    out = put_number(put_byte(out, UINT32), request->id, 4);
    out = put_str(out, 3);
    memcpy(out, request->op == PUT ? "PUT" : "GET", 3);
    out = put_byte(out + 3, ARRAY | (request->op == PUT ? 2 : 1));
    out = put_str(out, KEY_BYTES);
    spell_key(out, request->hash);
    out += KEY_BYTES;
    return request->op == PUT ? put_value(out, request->hash, value_bytes) : out;
}

static char *answer(char *out, const struct request *request, size_t value_bytes) {
    out = put_byte(put_byte(out, ARRAY | 4), 1);
    out = put_number(put_byte(out, UINT32), request->id, 4);
    out = put_byte(out, NIL);
    if (request->op == PUT) return put_byte(out, TRUE);
    return put_value(put_byte(put_byte(out, ARRAY | 2), TRUE), request->hash, value_bytes);
}

struct reader {
    const unsigned char *at, *end;
    bool failed; // what came is not what is expected here; else a NULL or 0 means that there is too little
};

static uint64_t number(struct reader *in, int bytes) {
    uint64_t value = 0;
    for (; bytes; bytes--) value = value << 8 | *in->at++;
    return value;
}

// One byte, or -1 when there is none.
static int byte(struct reader *in) { return in->at < in->end ? *in->at++ : -1; }

static bool is_next(struct reader *in, int expected) {
    int found = byte(in);
    if (found >= 0 && found != expected) in->failed = true;
    return found == expected;
}

static bool take_id(struct reader *in, uint32_t *id) {
    int head = byte(in);
    if (head < 0) return false;
    if (head < 0x80) {
        *id = (uint32_t)head;
        return true;
    }
    int width = head == 0xCC ? 1 : head == 0xCD ? 2 : head == UINT32 ? 4 : 0;
    if (!width) in->failed = true;
    if (!width || in->end - in->at < width) return false;
    *id = (uint32_t)number(in, width);
    return true;
}

// A str or a bin, from its first byte on.
static const char *take_text(struct reader *in, size_t *size) {
    int head = byte(in);
    if (head < 0) return NULL;
    if ((head & 0xE0) == STR) {
        *size = (size_t)head & 31;
    } else {
        int width = head == 0xD9 || head == 0xC4 ? 1 : head == 0xDA || head == 0xC5 ? 2 : head == 0xDB || head == 0xC6 ? 4 : 0;
        if (!width) in->failed = true;
        if (!width || in->end - in->at < width) return NULL;
        *size = number(in, width);
    }
    if ((size_t)(in->end - in->at) < *size) return NULL;
    const char *text = (const char *)in->at;
    in->at += *size;
    return text;
}

static bool take_response(struct reader *in, struct response *response) {
    if (!is_next(in, ARRAY | 4) || !is_next(in, 1) || !take_id(in, &response->id)) return false;
    if (in->at == in->end) return false;
    if (*in->at != NIL) {
        response->answer = REFUSED;
        return (response->text = take_text(in, &response->size)) != NULL && is_next(in, NIL);
    }
    in->at++;
    int result = byte(in);
    response->answer = STORED;
    if (result == TRUE) return true;
    if (result != (ARRAY | 2)) {
        in->failed = result >= 0;
        return false;
    }
    int found = byte(in);
    if (found >= 0 && found != TRUE && found != FALSE) in->failed = true;
    response->answer = found == TRUE ? FOUND : MISSING;
    return !in->failed && found >= 0 && (response->text = take_text(in, &response->size)) != NULL;
}

static long read_response(const char *data, size_t size, struct response *response) {
    const unsigned char *start = (const unsigned char *)data;
    struct reader in = {start, start + size, false};
    if (take_response(&in, response)) return in.at - start;
    return in.failed ? -1 : 0;
}

static bool take_request(struct reader *in, struct request *request) {
    size_t size;
    if (!is_next(in, ARRAY | 4) || !is_next(in, 0) || !take_id(in, &request->id)) return false;
    const char *text = take_text(in, &size);
    if (text == NULL) return false;
    request->op = *text == 'P' ? PUT : GET;
    if (!is_next(in, ARRAY | (request->op == PUT ? 2 : 1))) return false;
    if ((text = take_text(in, &size)) == NULL) return false;
    if (size != KEY_BYTES) in->failed = true;
    if (in->failed) return false;
    request->hash = read_key(text);
    return request->op == GET || take_text(in, &size) != NULL;
}

static long read_request(const char *data, size_t size, struct request *request) {
    const unsigned char *start = (const unsigned char *)data;
    struct reader in = {start, start + size, false};
    if (take_request(&in, request)) return in.at - start;
    return in.failed ? -1 : 0;
}

const struct protocol msgpack = {"msgpack", false, request, answer, read_request, read_response};
