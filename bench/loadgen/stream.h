// The bytes of a connection: as they are (plain.c), or sealed by TLS (tls.c), whichever the program is linked with.
#pragma once
#include <stdint.h>
#include <sys/types.h>

struct stream {
    int fd;
    void *tls;
};

// How epoll is to report that something has arrived: 0, or EPOLLET.
extern const uint32_t STREAM_TRIGGER;

// Takes a connected socket whose calls still wait. Returns what failed, NULL if all is well.
const char *stream_begin(struct stream *stream, int fd);

// As send(2) and recv(2), but no signal comes of it. Fewer bytes than asked for mean that there is no more for now, or
// that epoll will report the rest.
ssize_t stream_send(struct stream *stream, const char *data, size_t size);
ssize_t stream_recv(struct stream *stream, char *data, size_t size);
