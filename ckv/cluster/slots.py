"""Key to slot to node: the one place that knows who owns a key.

16,384 slots and CRC-16/XMODEM of the key, as in the `Redis Cluster specification
<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>`_, with the same rule for hash tags: of a
key with a non-empty part between its first ``{`` and the next ``}`` only that part is hashed, to keep keys together.
"""

from __future__ import annotations

from array import array
from binascii import crc_hqx
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from ckv.values import ENCODING, ENCODING_ERRORS

SLOTS: Final = 16_384

_crc: Final = crc_hqx  # compiled code would look the imported name up in a dict for every request

Node = TypeVar("Node")


def hash_tag(key: str) -> str:
    """The part of the key that is hashed.

    >>> hash_tag("{user:7}:name"), hash_tag("plain"), hash_tag("{}empty")
    ('user:7', 'plain', '{}empty')
    """
    tag, closed, _ = key.partition("{")[2].partition("}")
    return tag if tag and closed else key


def slot_of(key: str) -> int:
    """The slot of a key, 0 to 16,383.

    >>> slot_of("123456789"), slot_of("{user:7}:name") == slot_of("{user:7}:mail")
    (12739, True)
    """
    if "{" in key:
        key = hash_tag(key)
    try:
        data = key.encode()  # naming the encoding and what to do with errors costs as much again
    except UnicodeEncodeError:
        data = key.encode(ENCODING, ENCODING_ERRORS)
    return _crc(data, 0) % SLOTS


def number_of_owner(key: str, nodes: int) -> int:
    """Which of so many nodes, counted from 0, owns the key."""
    return slot_of(key) * nodes // SLOTS


class SlotMap(Generic[Node]):
    """The owner of every slot: contiguous ranges, as equal as can be, in the order of the nodes. Every primary that was
    started with the same list routes alike, for it depends on nothing else.

    With ``owners`` it is as they say, also when they change in place, and so do the nodes.
    """

    def __init__(self, nodes: Sequence[Node], owners: array[int] | None = None) -> None:
        """Raises ValueError when there are no nodes."""
        if not nodes:
            raise ValueError("there is no node to own the slots")
        self._nodes: list[Node] = nodes if isinstance(nodes, list) else list(nodes)
        if owners is None:
            owners = array("H", [slot * len(nodes) // SLOTS for slot in range(SLOTS)])
        # Numbers, for these stay in the processor's caches; a list of the nodes themselves is four times as large.
        self.owners = owners
        """For each slot the number of its node."""

    def owner(self, key: str) -> Node:
        """The node that owns the key."""
        return self._nodes[self.owners[slot_of(key)]]
