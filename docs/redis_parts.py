"""Parts of ``docs/redis.md``, which ``docs/generate.py`` puts there."""

from __future__ import annotations

from typing import Final

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
