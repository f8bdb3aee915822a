// TLS 1.3 with one cipher, so that all servers do the same work. Nobody's certificate is looked at: this is loopback.
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "stream.h"

// OpenSSL reads ahead, which spares a call of the kernel for each record. What it leaves in the socket is reported again.
const uint32_t STREAM_TRIGGER = 0;

static SSL_CTX *context(void) {
    static SSL_CTX *made;
    if (made != NULL) return made;
    signal(SIGPIPE, SIG_IGN);
    made = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(made, "TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(made, 1);
    return made;
}

const char *stream_begin(struct stream *stream, int fd) {
    SSL *tls = SSL_new(context());
    stream->fd = fd;
    stream->tls = tls;
    if (tls != NULL && SSL_set_fd(tls, fd) == 1 && SSL_connect(tls) == 1) return NULL;
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason != NULL ? reason : "the connection ended in the middle of the handshake";
}

// What a call that took or gave nothing returns.
static ssize_t nothing(SSL *tls, int result) {
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: return errno ? -1 : 0;
    default: errno = EPROTO; return -1;
    }
}

ssize_t stream_send(struct stream *stream, const char *data, size_t size) {
    size_t sent = 0;
    ERR_clear_error();
    int result = SSL_write_ex(stream->tls, data, size, &sent);
    return result == 1 ? (ssize_t)sent : nothing(stream->tls, result);
}

ssize_t stream_recv(struct stream *stream, char *data, size_t size) {
    size_t had = 0, more;
    int result;
    ERR_clear_error();
    do { // one record at a time
        result = SSL_read_ex(stream->tls, data + had, size - had, &more);
        if (result == 1) had += more;
    } while (result == 1 && had < size && SSL_has_pending(stream->tls));
    return had ? (ssize_t)had : nothing(stream->tls, result);
}
