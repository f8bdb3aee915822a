"""Bytes to messages and back: msgpack-RPC over TCP, as callbacks on gevent's loop."""
