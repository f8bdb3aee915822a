#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "stream.h"

// The kernel need not look again at each connection that it has reported.
const uint32_t STREAM_TRIGGER = EPOLLET;

const char *stream_begin(struct stream *stream, int fd) {
    stream->fd = fd;
    return NULL;
}

ssize_t stream_send(struct stream *stream, const char *data, size_t size) {
    return send(stream->fd, data, size, MSG_NOSIGNAL);
}

ssize_t stream_recv(struct stream *stream, char *data, size_t size) { return recv(stream->fd, data, size, 0); }
