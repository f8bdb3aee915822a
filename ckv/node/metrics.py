"""The figures of a node for Prometheus: its text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ says what it looks like. It is written here, and not by
prometheus_client, which reads it in the tests: docs/architecture.md says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain, islice
from typing import Final

from ckv.node.figures import FIGURES, Info
from ckv.node.kinds import PREFIX, WILDCARDS, Figure
from ckv.protocol.latencies import BOUNDS, Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

LINES: Final = 100
"""The most lines in one piece, which takes a fifth of a millisecond."""

ABOUT: Final[Mapping[str, str]] = {
    f"{PREFIX}cpu_seconds_total": "Seconds of processor time, in the kernel (system) and outside.",
    f"{PREFIX}hits_total": "Reads that found a record, by the tier that had it.",
    f"{PREFIX}misses_total": "Reads that found no record, by the tier that knew: the database, or memory without it.",
    f"{PREFIX}info": "Who the node is, and how it was started; always 1.",
}
"""What metrics say that are made of several figures."""

_VARYING: Final = tuple(
    (before, WILDCARDS[word], behind, figure)
    for figure in FIGURES
    if figure.wildcard and figure.metric
    for before, word, behind in (figure.name.partition(figure.wildcard),)
)
"""What stands before and behind the part that varies in the name of a figure, its label between them, and the figure.
"""


def exposition(info: Info, latencies: Mapping[str, Histogram]) -> Iterator[str]:
    """The text, in pieces of some lines, for whoever makes it to do something else in between."""
    lines = chain(_lines(info), _histograms(info, latencies))
    while piece := "".join(islice(lines, LINES)):
        yield piece


def _lines(info: Info) -> Iterator[str]:
    labels = [(figure.metric, str(info[figure.name])) for figure in _told(info) if figure.kind == "label"]
    yield from _head(f"{PREFIX}info", "gauge", "")
    yield f"{PREFIX}info{_in_braces(labels)} 1\n"
    last = ""
    for figure in _told(info):
        if figure.kind == "label":
            continue
        if figure.metric != last:
            yield from _head(figure.metric, "counter" if figure.kind == "counter" else "gauge", figure.help)
            last = figure.metric
        value = info[figure.name]
        if figure.kind == "state":
            for pair in figure.labels:
                yield f"{figure.metric}{_in_braces([pair])} {int(pair[1] == value)}\n"
        else:
            yield f"{figure.metric}{_in_braces(figure.labels)} {value}\n"
    for before, label, behind, figure in _VARYING:
        begun = False
        for name, value in info.items():  # one after the other, as there may be a thousand peers
            if not (name.endswith(behind) and name.startswith(before)):
                continue
            if not begun:
                yield from _head(figure.metric, figure.kind, figure.help)
                begun = True
            yield f"{figure.metric}{_in_braces([(label, name[len(before) : len(name) - len(behind)])])} {value}\n"


def _histograms(info: Info, latencies: Mapping[str, Histogram]) -> Iterator[str]:
    for figure in FIGURES:
        if figure.kind != "histogram" or info["role"] not in figure.roles or not latencies:
            continue
        yield from _head(figure.metric, "histogram", figure.help)
        for method, histogram in latencies.items():
            so_far = accumulate(histogram.counts)
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), so_far, strict=True):
                yield f"{figure.metric}_bucket{_in_braces([('method', method), ('le', bound)])} {count}\n"
            of_method = _in_braces([("method", method)])
            yield f"{figure.metric}_sum{of_method} {histogram.seconds}\n"
            yield f"{figure.metric}_count{of_method} {sum(histogram.counts)}\n"


def _told(info: Info) -> Iterator[Figure]:
    """What the node has of the table, but what there may be several of. Figures of one metric stand together there."""
    return (figure for figure in FIGURES if figure.metric and figure.name in info)


def _head(metric: str, kind: str, sentence: str) -> Iterator[str]:
    text = ABOUT.get(metric, sentence).replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {metric} {text}\n# TYPE {metric} {kind}\n"


def _in_braces(labels: Iterable[tuple[str, str]]) -> str:
    r"""Labels as they stand behind a name; nothing where there are none.

    >>> _in_braces([("name", 'a"b'), ("role", "primary")])
    '{name="a\\"b",role="primary"}'
    """
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
