"""Parts of ``docs/redis.md``, which ``docs/generate.py`` puts there."""

from __future__ import annotations

from typing import Final

from ckv.glob import MAX_PATTERN_BYTES
from ckv.node.scanning import IDLE, LEAST_ROWS, MAX_COUNT, MAX_SCANS
from ckv.node.steps import SEVERAL_VALUES
from ckv.persistent.rows import FEW_ROWS
from ckv.protocol.resp.ordering import MAX_UNREAD_PUSHES
from ckv.redis.subscribers import (
    MAX_CHANNELS,
    MAX_NAME_BYTES,
    MAX_PATTERNS_BYTES,
    MAX_PATTERNS_BYTES_OF_ALL,
    PATTERN_BYTES,
)
from ckv.redis.transactions import MAX_QUEUED, MAX_QUEUED_MESSAGES, PART_BYTES
from ckv.redis.watching import MAX_WATCHED
from ckv.store.motion import MOST_DISPLACED

GROUPS: Final = {
    "string": "Values",
    "generic": "Keys",
    "scripting": "Scripts of locks and counters",
    "transactions": "Transactions",
    "pubsub": "Channels",
    "cluster": "Clients in cluster mode",
    "connection": "The connection",
    "server": "The node",
}
"""The titles of the tables of commands."""

MOST_QUEUED: Final = (
    f"{MAX_QUEUED:,} commands, and {MAX_QUEUED_MESSAGES} times the length of a request, "
    f"with {PART_BYTES} bytes more for each command and each argument"
)
"""The bounds of a transaction."""

EXEC: Final = f"""\
After MULTI a command is looked at, kept, and answered with `QUEUED`; EXEC carries out what was kept, one command after
the other in their order, and answers with one array of their answers. An error stands in its place in it, the commands
after it are carried out all the same, and nothing is rolled back, as in Redis. After a command or a subcommand that ckv
does not have, or with a wrong number of arguments, or refused at that time (`Draining`), or beyond the limits below,
EXEC carries out none and answers `-EXECABORT`. `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `RESET` and `QUIT` are not kept;
the end of the connection and RESET drop what was. `SCAN`, `KEYS`, `DBSIZE`, `FLUSHDB`,
`FLUSHALL`, `SUBSCRIBE`, `UNSUBSCRIBE`, `PSUBSCRIBE` and `PUNSUBSCRIBE` are refused in a transaction.

- **What is on one node is one step of it**, in every write mode: nothing that anybody else asks comes between the first
  and the last command. What has to be loaded from the database for it is loaded first, and what needs room waits for
  it first; then all of it is carried out at once. In the mode `through` a command sees what those before it have
  written and the answers come when all is committed, but others see it as it is committed: records that wait for a
  transaction beside others, or that had one under way, may be committed in several, and be seen in part between these.
- **Across nodes it is not one step.** A primary asks each node that owns keys once, with all of its commands in their
  order: another client may see one part without the other. If a node fails, its commands are answered with its error,
  and the others' parts stand. If no part was carried out, the error is the answer to EXEC. Keys with the same part in
  braces (`{{user:7}}:name`) are on one node, as in Redis Cluster.
- **It is carried out as a whole or not at all**, on each node: also when the connection ends meanwhile, when the values
  cannot be loaded in time (`-ERR ValueUnknown`), or when no room comes free (`-OOM NoRoom`). An outcome that is unknown
  (`-ERR UNKNOWN ...`) is unknown for the whole.
- What was sent behind EXEC on the connection is carried out after it.
- The values in the answers of one node come to {SEVERAL_VALUES} times `--max-value-bytes`, and one more. A command that
  would answer with another one is not carried out; its place has an error. The values that have to be loaded for a
  step, those of a `DEL` among them, come to 64 MiB at most: a step that needs more is refused, and nothing is done.
- `MSET`, `MSETEX`, and `DEL` and `UNLINK` of several keys, are such a step. `MGET` and `EXISTS` read one key after the
  other.
- `MSETNX`, and `MSETEX` with `NX` or `XX`, need all of their keys on one node (`-CROSSSLOT` else), and cannot be in a
  transaction.

**WATCH** keeps a digest of each record: of the type and the bytes of its value, and of when it expires. The node that
owns the key compares it right before it carries out the commands of EXEC, and if one has changed EXEC answers nil. What
is watched and what EXEC writes has to be on one node, or EXEC is refused with `-CROSSSLOT` and nothing is done.

A digest needs no version in the database and no memory at the node, so it outlives eviction and restarts. But it does
not tell a record from the same one that was another in between (A, then B, then A again), where Redis would. Nobody can
count wrong by it: what the client reads of a key that it watches (`GET`, `MGET`, `GETEX` and the like; not what a
command that writes answers) is compared too, and if it has seen B, EXEC answers nil. A client watches at most
{MAX_WATCHED:,} keys.
"""
"""What may come between its commands, and what not."""

ALL_KEYS: Final = f"""\
`SCAN` promises what it does in Redis, over all tiers: a key that has a value from the first answer to the last is told
at least once, whatever moves between memory and the database meanwhile; one that comes or goes meanwhile is told or
not; one that was deleted or has expired before is not told. A key may be told more than once, though not where nothing
is written or read meanwhile, nor on its way to the database from before. `KEYS` is a scan by the node itself, piece by
piece, of all clients' one piece in each turn of its loop, so that others are served in between, and tells each key
once; where more than `--keys-max` keys match (100,000), it is refused, and `SCAN` has to be used. What a client sends
behind it waits until it is answered.

A scan goes through the memory of a node, through what is on its way to the database, and then along the table, in the
order of its primary key: `SELECT kv_key .. WHERE kv_key > .. ORDER BY kv_key LIMIT ..`, which asks for no lock, reads
no values, and has a connection of its own, one statement at a time. Where anything expires it looks at memory once
more, for what was written meanwhile. Through a primary it does so for one node after the other: each secondary knows
best which of its rows still count, so each goes along the table itself, and leaves out the keys of others. The
database so reads the table once for each secondary, and a scan takes longer the more of them there are: of 200,000
records through three nodes 2.4 times as long as through one, on two busy cores. The other way, one walk for all whose
keys are then shown to their owners, would save that, at the price of a further message for each answer and each owner,
of which a row could be deleted between the walk and the look at it, and told all the same.

- *A pattern that begins with some letters is cheap:* of `MATCH user:*` nothing but the keys from `user:` to `user;` is
  read from the table. Memory is looked at as a whole. A pattern has at most {MAX_PATTERN_BYTES:,} bytes, and takes time
  in proportion to its length, whatever it is.
- *`COUNT`* is how many keys are looked at for an answer, 10 where nothing is said and {MAX_COUNT:,} at most. Of the
  table {LEAST_ROWS} rows are read at least, so an answer may have more. For all keys, `COUNT 1000` is many times as
  quick as the default.
- *`TYPE string`* is what all are; of any other type there is none.
- *A cursor* is known to the node that gave it, through whichever connection it comes back, and is below 2^53. The last
  few of a scan can be asked for again, as after a lost connection. A node has {MAX_SCANS} scans at a time, and for
  another one forgets the oldest with which nobody went on after its first answer, or, if fewer than half are such, the
  one that was used longest ago; it also forgets one that nobody went on with for {IDLE / 60:g} minutes, and all of them
  when it is started anew, or its database is replaced. Then the answer is `-ERR Refused: there is no scan with the
  cursor ..: begin again with 0`. Where Redis takes any number for a cursor, ckv takes those that it gave.
- *While slots move* from one node to another, where nodes have [joined](joining.md), `SCAN`, `KEYS` and `DBSIZE` are
  answered `-TRYAGAIN`; a cursor from before is refused then, with the same words, and the scan has to begin again.
- *When the database is away* the answer is `-TRYAGAIN`, and the same cursor can be sent again.
- *Where much is written* a record whose expiry was put off during the scan may be left out, if more than 20,000 others
  were saved between two answers near the end. Without a database, and with `--memory-max`, the same goes for records
  that were changed to values so much larger that they had to leave memory for themselves, if there were more than
  {MOST_DISPLACED:,} of them.

`FLUSHDB` and `FLUSHALL` are refused unless the node was started with `--allow-flush`, and the secondaries behind a
primary too. They delete what such a scan tells, {MAX_COUNT:,} records at a time, as `DEL` would, and answer when all
deletions are in the database, in any write mode. Others are served meanwhile, so it is not one step: what had a value
when it began is gone when it is answered, what is written meanwhile may be gone or not, and what is written after the
answer stays. It takes about as long as that many deletions, and goes on when its client goes away. When a node stops or
crashes in the middle, or the database is away, the answer is an error, if anybody is there to tell, what was not
deleted yet is still there, and it has to be sent again. Rows of keys that no secondary of the cluster has are not
touched.

`DBSIZE` is the number of records in memory and of those on their way to the database, and of the rows of the table
beyond those that memory is known to have. The rows are counted up to {FEW_ROWS:,}; beyond that it is what the
server's statistics say, which may be wrong by half. What has expired counts until it has [left
memory](guarantees.md#records-that-expire), which is a matter of a second, and rows count until they are purged, a
minute later or more. A record that was changed in memory and not saved yet counts twice if the table has an older
one.
"""
"""What SCAN, KEYS and DBSIZE promise, and what they cost."""
CHANNELS: Final = f"""\
A message reaches, at most once, the clients that have subscribed *at the same node* and are connected when it is
published: nothing is kept, and nodes do not pass messages on. So publish and subscribe at the same primary. With
several behind one address (Kubernetes, a balancer) a client does not choose; one that waits for a result may then wait
in vain, if it does not look for the record now and then. What a client publishes where it has subscribed itself comes
behind the answer to `PUBLISH`, or to `EXEC`.

A client that has subscribed to a channel by its name and by patterns that match gets a message once for each of them,
and `PUBLISH` counts them all. Patterns are those of `SCAN` and `KEYS`.

A client of version 2 of the protocol may ask `SUBSCRIBE`, `UNSUBSCRIBE`, `PSUBSCRIBE`, `PUNSUBSCRIBE`, `PING`, `QUIT`
and `RESET` alone while it has subscribed; with version 3 everything, until it asks for version 2. One that has
{MAX_UNREAD_PUSHES // 2**20} MiB of messages unread when another one comes is cut off, and `pubsub_cut_off` of
[INFO](info.md) counts it.

A client subscribes to at most {MAX_CHANNELS:,} channels. Names and patterns have at most {MAX_NAME_BYTES:,} bytes. The
patterns of a client come to {MAX_PATTERNS_BYTES // 1024} KiB at most, each counted with {PATTERN_BYTES} bytes more; and
as each message is held against all patterns of the node, those of all its clients to
{MAX_PATTERNS_BYTES_OF_ALL // 1024} KiB, each different one counted once. A request beyond these bounds is refused as a
whole.
"""
"""What becomes of messages."""

CLUSTER: Final = """\
A client in cluster mode (redis-py's `RedisCluster`, ioredis' `Cluster`, node-redis' `createCluster`, `redis-cli -c`)
asks which node owns which of the 16,384 slots, and then goes to the owner of a key by itself. That spares the way
through a primary: start the primary with `--cluster-clients`, and give such a client the address of the primary, or of
any secondary. The clients must reach the secondaries by the addresses that the primary was given, or with which they
have [joined](joining.md#what-it-needs) it, so `localhost` is good for one machine alone. Every primary that has this
list should be started with it, and have the addresses spelled alike: of several, a secondary believes the one that
fewest nodes have refused, and among these the one that has spoken last. What it has believed of one that is gone it
believes on until another one speaks, or is connected that no more nodes have refused.

- *A secondary answers for its own keys alone* from then on, where a client of Redis asks it: for a key of another node
  it says `-MOVED slot host:port`, and for keys of several slots in one command `-CROSSSLOT`, also in the middle of a
  transaction. The commands of one transaction may be of several slots of the node. It learns the list from the primary:
  before, it answers CLUSTER with an error, and serves the key of any client that comes all the same, as without
  `--cluster-clients`. It stays in this mode until it is started anew, or, if it has joined, its primary is, without.
  While it is not agreed which keys are its own, it answers `-CLUSTERDOWN` for all.
- *A primary serves every client as before*, for keys of any node. In `CLUSTER NODES` it is a node without slots, at
  the address where the client has found it.
- *A node of a list that a primary cannot reach* has, after `--node-wait`, the flag `fail` in its `CLUSTER NODES`, in
  `SHARDS` the health `fail`, and keeps its slots, as in Redis; the others go on, and `cluster_state` of `CLUSTER INFO`
  is `ok` as long as one serves. Where nodes have [joined](joining.md), the others have its slots some seconds later.
- *A node that refuses the primary* because it has [other keys](guarantees.md#one-list-of-secondaries) loses its slots
  in these answers, and in `CLUSTER SLOTS`, for nobody serves them: a client says that they are not covered, or is
  answered `-CLUSTERDOWN` where it asks all the same. The primary tells the other nodes of it, which say the same; of
  those that are down a secondary knows nothing. redis-py does without these slots with `require_full_coverage=False`.
- *`SCAN`, `KEYS`, `DBSIZE` and `FLUSHDB`* are about one node's own keys at a secondary; clients in cluster mode ask
  all of them.
- *Messages* of `PUBLISH` stay at the node where they are published: such a client has to publish and subscribe at the
  primary.
- *Who owns what does not change* while such a cluster runs, where the primary has a list: see
  [guarantees.md](guarantees.md#one-list-of-secondaries). Where secondaries join, slots move, and clients follow them by
  `-MOVED`. The secondary that a slot is about to leave, or that nobody confirms, answers `-TRYAGAIN` for a moment,
  and has done nothing. Most clients repeat that by themselves; node-redis hands it to its caller, and so does redis-py
  in a transaction. No slot is ever half at one node, so that there is no `-ASK`.
"""
"""What clients are told that go to the owners of keys by themselves."""
