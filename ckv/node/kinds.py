"""The kinds of figures, and how the table of figures says which kind one is of.

They are those of Prometheus, where a name ends in what it counts in (seconds, bytes), that of a counter in ``_total``,
and what tells one figure from another of the same name is a label: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram", "label", "state", "text"]
"""A counter only grows, and begins with 0 when the process starts; a gauge goes up and down. A histogram is several
counters, and no line of INFO. A label is a text that tells nodes apart, and a state one of a few words, each of which
is 1 or 0. Text alone is for people: why something is as it is has too many words for a time series."""

PREFIX: Final = "ckv_"
"""How the names of all metrics begin."""

WILDCARDS: Final = {"ADDRESS": "peer", "CODE": "code"}
"""What stands in the name of a figure for a part that varies, as in ``peer_ADDRESS_connected``, and the label of the
metric that this part is."""


class Row(NamedTuple):
    """What the table says of one figure."""

    help: str
    kind: Kind
    metric: str = ""
    """Where it is not what follows from the name."""
    labels: tuple[tuple[str, str], ...] = ()


class Figure(NamedTuple):
    """One line of INFO, but for a histogram."""

    group: str
    name: str
    roles: tuple[str, ...]
    help: str
    """One sentence, with the unit."""
    kind: Kind
    metric: str
    """Its name for Prometheus; of a label that of the label; empty for text."""
    labels: tuple[tuple[str, str], ...]
    """What tells it from others of this metric; of a state each of its words."""

    @property
    def wildcard(self) -> str:
        """What stands in its name for the part that varies; empty where none does."""
        return next((word for word in WILDCARDS if word in self.name), "")


def counter(help: str, metric: str = "", **labels: str) -> Row:
    """A figure that only grows."""
    return Row(help, "counter", metric, tuple(labels.items()))


def gauge(help: str, metric: str = "") -> Row:
    """A figure that goes up and down."""
    return Row(help, "gauge", metric)


def histogram(help: str) -> Row:
    """How many calls took how long, by their method."""
    return Row(help, "histogram")


def label(help: str, metric: str = "") -> Row:
    """A text that tells nodes apart."""
    return Row(help, "label", metric)


def state(help: str, *words: str) -> Row:
    """One of these words."""
    return Row(help, "state", labels=tuple(("state", word) for word in words))


def text(help: str) -> Row:
    """A text for people."""
    return Row(help, "text")


def made(group: str, name: str, roles: tuple[str, ...], row: Row) -> Figure:
    """A figure of the table.

    >>> made("Records", "evicted_keys", ("secondary",), counter("Records that left memory.")).metric
    'ckv_evicted_keys_total'
    """
    plain = {"counter": f"{PREFIX}{name}_total", "label": name, "text": ""}.get(row.kind, PREFIX + name)
    return Figure(group, name, roles, row.help, row.kind, row.metric or plain, row.labels)
