"""Parts of ``docs/redis.md``, which ``docs/generate.py`` puts there."""

from __future__ import annotations

from typing import Final

from ckv.glob import MAX_PATTERN_BYTES
from ckv.node.scanning import IDLE, LEAST_ROWS, MAX_COUNT, MAX_SCANS
from ckv.persistent.rows import FEW_ROWS
from ckv.redis.transactions import MAX_QUEUED, MAX_QUEUED_MESSAGES, PART_BYTES

GROUPS: Final = {
    "string": "Values",
    "generic": "Keys",
    "scripting": "Scripts of locks",
    "transactions": "Transactions",
    "connection": "The connection",
    "server": "The node",
}
"""The titles of the tables of commands."""

MOST_QUEUED: Final = (
    f"{MAX_QUEUED:,} commands, and {MAX_QUEUED_MESSAGES} times the length of a request, "
    f"with {PART_BYTES} bytes more for each command and each argument"
)
"""The bounds of a transaction."""

EXEC: Final = """\
After MULTI a command is looked at, kept, and answered with `QUEUED`; EXEC carries out what was kept, one command after
the other in their order, and answers with one array of their answers. An error stands in its place in it, the commands
after it are carried out all the same, and nothing is rolled back, as in Redis. After a command that ckv does not have,
or with a wrong number of arguments, or refused at that time (`Draining`), or beyond the limits below, EXEC carries out
none and answers `-EXECABORT`. A subcommand (`CLIENT nosuch`) is looked at by EXEC. `MULTI`, `EXEC`, `DISCARD`, `RESET`
and `QUIT` are not kept; the end of the connection and RESET drop what was.

What may come between the commands of one EXEC:

- **At a secondary nothing, as far as memory decides:** while memory has the records, and in the modes `evict` and
  `behind`, no other client is served between the first and the last command.
- What has to be loaded from the database, a write that waits for room, and any in the mode `through`, is begun in its
  turn and takes effect when the database has answered. The commands behind it are begun meanwhile, so effects on
  different keys may come in another order; those on one key keep theirs. Other clients are served in between, and so
  they are where more wait than may of one connection ([limits](#limits)).
- The same where the answers come to more than 32 MiB + 8 times `--max-value-bytes`, or to more than 1 MiB while the
  answer to a request before EXEC is still to come.
- **At a primary anything:** each command goes to the node that owns its key by itself. A transaction is not one step
  there, neither across the nodes nor within one, even if all of its keys are on one node: other clients may see a part
  of it. The commands are sent in their order, and those on one key take effect in it.
- In front of any of them a node may end, or the connection. Then what was begun stays, and the rest is not carried out:
  a client that gets no answer to EXEC does not know how much was done.

So a transaction saves round trips, and keeps the order. Where several writers count or compare, use what is one step
on any node: INCR and its relatives, APPEND, GETDEL, SET with NX, XX or IFEQ. **WATCH is refused**, as EXEC would not
notice that somebody else wrote the key; UNWATCH has nothing to do.
"""
"""What may come between its commands, and what not."""

ALL_KEYS: Final = f"""\
`SCAN` promises what it does in Redis, over all tiers: a key that has a value from the first answer to the last is told
at least once, whatever moves between memory and the database meanwhile; one that comes or goes meanwhile is told or
not; one that was deleted or has expired before is not told. A key may be told more than once, though not where nothing
is written or read meanwhile. `KEYS` is a scan by the node itself, a piece in each turn of its loop, so that others are
served in between, and tells each key once; where more than `--keys-max` keys match (100,000), it is refused, and `SCAN`
has to be used.

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
  few of a scan can be asked for again, as after a lost connection. A node has {MAX_SCANS} scans at a time, and forgets
  the one that was used longest ago for another; one that nobody went on with for {IDLE / 60:g} minutes; and all of them
  when it is started anew, or its database is replaced. Then the answer is `-ERR Refused: there is no scan with the
  cursor ..: begin again with 0`. Where Redis takes any number for a cursor, ckv takes those that it gave.
- *When the database is away* the answer is `-TRYAGAIN`, and the same cursor can be sent again.
- *Where much is written* a record whose expiry was put off during the scan may be left out, if more than 20,000 others
  were saved between two answers near the end.

`DBSIZE` is the number of records in memory and of those on their way to the database, and of the rows of the table
beyond those that memory is known to have. The rows are counted up to {FEW_ROWS:,}; beyond that it is what the server's
statistics say, which may be wrong by half. Rows that have expired and are not purged yet count, and a record that was
changed in memory and not saved yet counts twice if the table has an older one.
"""
"""What SCAN, KEYS and DBSIZE promise, and what they cost."""
