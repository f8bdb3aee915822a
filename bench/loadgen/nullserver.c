// A server that stores nothing: it answers every PUT, and every GET with the value that belongs to the key. What the
// generator reaches against it is the ceiling of the generator, the kernel and the loopback device.
// It prints its port, and ends when its standard input does.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

enum { CHUNK = 256 * 1024, EVENTS = 512 };

struct client {
    int fd;
    char *in, *out;
    size_t in_size, in_capacity, out_size, out_sent, out_capacity;
};

static const struct protocol *protocol;
static size_t value_bytes;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void *checked(void *memory) {
    if (memory == NULL) fail("nullserver: memory");
    return memory;
}

static void drop(struct client *client) {
    close(client->fd);
    free(client->in);
    free(client->out);
    free(client);
}

// False when the client has to wait until the kernel takes more.
static bool flush(struct client *client) {
    while (client->out_sent < client->out_size) {
        ssize_t sent = send(client->fd, client->out + client->out_sent, client->out_size - client->out_sent, MSG_NOSIGNAL);
        if (sent < 0) return false;
        client->out_sent += (size_t)sent;
    }
    client->out_sent = client->out_size = 0;
    return true;
}

// Answer what is complete.
static bool answer(struct client *client) {
    size_t taken = 0;
    while (taken < client->in_size) {
        struct request request = {0};
        long used = protocol->read_request(client->in + taken, client->in_size - taken, &request);
        if (used < 0) return false;
        if (used == 0) break;
        taken += (size_t)used;
        if (client->out_size + value_bytes + MESSAGE_BYTES > client->out_capacity) {
            client->out_capacity = 2 * (client->out_size + value_bytes + MESSAGE_BYTES);
            client->out = checked(realloc(client->out, client->out_capacity));
        }
        client->out_size = (size_t)(protocol->answer(client->out + client->out_size, &request, value_bytes) - client->out);
    }
    client->in_size -= taken;
    memmove(client->in, client->in + taken, client->in_size);
    return true;
}

static void serve(int epoll, struct client *client) {
    bool writable = flush(client);
    if (writable) {
        if (client->in_capacity - client->in_size < CHUNK) {
            client->in_capacity = client->in_size + 2 * CHUNK;
            client->in = checked(realloc(client->in, client->in_capacity));
        }
        ssize_t got = recv(client->fd, client->in + client->in_size, CHUNK, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return drop(client);
        if (got > 0) client->in_size += (size_t)got;
        if (!answer(client)) return drop(client);
        if (flush(client)) return;
    }
    if (errno != EAGAIN) return drop(client);
    // Level-triggered: while the kernel takes nothing, reading has to wait.
    struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.ptr = client};
    epoll_ctl(epoll, EPOLL_CTL_MOD, client->fd, &event);
}

static void greet(int epoll, int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct client *client = checked(calloc(1, sizeof *client));
    client->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv) {
    if (argc != 3 || (protocol = protocol_named(argv[1])) == NULL) {
        fputs("usage: nullserver msgpack|resp|memcached VALUE-BYTES\n", stderr);
        return 1;
    }
    value_bytes = strtoull(argv[2], NULL, 10);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1024) < 0) fail("nullserver: listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event = (struct epoll_event){.events = EPOLLIN | EPOLLHUP, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0) fail("nullserver: standard input has to be a pipe");
    struct epoll_event events[EVENTS];
    for (;;) {
        int found = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < found; i++) {
            char byte;
            if (events[i].data.ptr == NULL) {
                if (read(STDIN_FILENO, &byte, 1) == 0) return 0;
            } else if (events[i].data.ptr == &listener) {
                greet(epoll, listener);
            } else {
                struct client *client = events[i].data.ptr;
                if (events[i].events & EPOLLOUT) {
                    event = (struct epoll_event){.events = EPOLLIN, .data.ptr = client};
                    epoll_ctl(epoll, EPOLL_CTL_MOD, client->fd, &event);
                }
                serve(epoll, client);
            }
        }
    }
}
