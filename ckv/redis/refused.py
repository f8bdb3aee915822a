"""Commands of Redis that ckv does not have, and why: an error should say what to do without."""

from __future__ import annotations

from typing import Final

from ckv.protocol.resp.methods import shown
from ckv.protocol.resp.parsing import Request

REASONS: Final = {
    "ckv keeps strings only, no lists": (
        "blmove blmpop blpop brpop brpoplpush lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem lset "
        "ltrim rpop rpoplpush rpush rpushx sort sort_ro"
    ),
    "ckv keeps strings only, no sets": (
        "sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove spop "
        "srandmember srem sscan sunion sunionstore"
    ),
    "ckv keeps strings only, no hashes": (
        "hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield hscan hset hsetnx hstrlen "
        "hvals hexpire httl hpersist"
    ),
    "ckv keeps strings only, no sorted sets": (
        "bzmpop bzpopmax bzpopmin zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard zinterstore zlexcount "
        "zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem "
        "zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan "
        "zscore zunion zunionstore"
    ),
    "ckv keeps strings only, no streams": (
        "xack xadd xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange xread xreadgroup xrevrange xsetid xtrim"
    ),
    "ckv keeps strings only, no bitmaps": "bitcount bitfield bitfield_ro bitop bitpos getbit setbit",
    "ckv keeps strings only, no sketches": "pfadd pfcount pfdebug pfmerge pfselftest",
    "ckv keeps strings only, no positions": (
        "geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch "
        "geosearchstore"
    ),
    "a value is written as a whole": "setrange lcs",
    "ckv runs no scripts": "eval_ro evalsha_ro fcall fcall_ro function",
    "a message reaches those who are connected to the same node": "spublish ssubscribe sunsubscribe",
    "ckv saves what it has to its database all the time": "save bgsave bgrewriteaof",
    "the records are in the database, and nodes keep no copies of each other's": (
        "replicaof slaveof psync sync replconf failover wait waitaof role"
    ),
    "there is one database": "move swapdb",
    "two keys may be on two nodes": "rename renamenx copy",
    "the database is the one to copy records from and to": "dump restore restore-asking migrate",
    "nobody knows all keys without reading the database": "randomkey",
    "ckv stops by a signal": "shutdown",
    "it is for those who work on Redis": "debug monitor",
    "users are in a file, which ckv user keeps": "acl",
}
"""Names by what an error says of them."""

_BY_NAME: Final = {name: reason for reason, names in REASONS.items() for name in names.split()}


def no_command(request: Request) -> str:
    """The error for a request whose command the node does not have.

    >>> no_command([b"LPUSH", b"k", b"v"])
    "ERR unknown command 'LPUSH': ckv keeps strings only, no lists"
    """
    name = shown(request[0])
    reason = _BY_NAME.get(name.lower())
    if reason is not None:
        return f"ERR unknown command '{name}': {reason}"
    arguments = "".join(f"'{shown(argument)}' " for argument in request[1:3])
    return f"ERR unknown command '{name}', with args beginning with: {arguments}".rstrip()
