"""Sockets on gevent's loop: bytes in and bytes out, for whatever protocol a session of them speaks."""
