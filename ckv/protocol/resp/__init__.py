"""RESP, the protocol of Redis clients: `RESP2 and RESP3 <https://redis.io/docs/latest/develop/reference/protocol-spec/>`_.

It knows how requests and answers look and in which order answers leave. What a command does is in ``ckv/redis/``.
"""
