// What RESP and memcached's text protocol have in common: lines, and numbers in them.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The first byte behind the line that begins at `at`; NULL when the line is not complete.
static inline const char *line_end(const char *at, const char *end) {
    const char *found = memchr(at, '\n', (size_t)(end - at));
    return found ? found + 1 : NULL;
}

// The digits from `at` on; what follows them ends the number.
static inline size_t digits(const char *at) {
    size_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) value = value * 10 + (size_t)(*at - '0');
    return value;
}

static inline char *put_digits(char *out, size_t value) {
    char text[20];
    int length = 0;
    do text[length++] = (char)('0' + value % 10);
    while (value /= 10);
    while (length) *out++ = text[--length];
    return out;
}

static inline char *put_text(char *out, const char *text, size_t size) {
    memcpy(out, text, size);
    return out + size;
}

// A literal, without the byte that ends it.
#define PUT_LITERAL(out, text) put_text(out, text, sizeof(text) - 1)
#define BEGINS_WITH(at, end, text) ((size_t)((end) - (at)) >= sizeof(text) - 1 && memcmp(at, text, sizeof(text) - 1) == 0)
