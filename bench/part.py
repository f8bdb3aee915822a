"""What a part of the benchmark is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.results import Cell
from bench.stats import Spread


@dataclass(frozen=True)
class Context:
    """How much to measure."""

    rounds: int
    """How often each contender has its turn."""
    seconds: float
    """How long one turn lasts."""
    quick: bool
    """Only try whether it works: small data, short runs. The figures say little."""
    full: bool
    """All values of all axes."""
    say: Callable[[str], None]
    """Tells whoever watches how far it is."""

    @property
    def side_rounds(self) -> int:
        """Rounds for what no target is set on."""
        return min(self.rounds, 3)

    @property
    def shallow_rounds(self) -> int:
        """Rounds at depth 1, where all servers spend nearly all of their time in the kernel: they differ by less than
        one of them from a round to the next."""
        return self.rounds if self.quick else 3 * self.rounds


@dataclass(frozen=True)
class Column:
    """A figure that the tables show: its key in a sample, its heading, and what to multiply it with."""

    figure: str
    heading: str
    scale: float = 1.0
    digits: int = 1


THOUSAND_CALLS = Column("calls_per_second", "k/s", 1e-3)
CPU = Column("server_cpu_us", "CPU us")
"""What the processes of the contender use for a call. On a disturbed machine it moves less than calls a second."""
P99 = Column("p99_us", "p99 us", digits=0)


@dataclass(frozen=True)
class Target:
    """A ratio that has to be reached (``must``), and one that would be good (``aim``). Without ``against`` it is the
    figure itself.
    """

    text: str
    cell: Callable[[Cell], bool]
    """Which cells it is about; each is judged on its own."""
    contender: str
    against: str | None
    must: float
    aim: float
    figure: str = "calls_per_second"
    higher_is_better: bool = True
    factor: Callable[[Cell], float] = lambda cell: 1.0
    """What to multiply with: the way to a peer that is not part of the run, by way of one that is; or to a unit."""


@dataclass(frozen=True)
class Verdict:
    """A target, and what was measured."""

    part: str
    target: Target
    cell: Cell
    measured: Spread

    @property
    def met(self) -> bool:
        return self._reaches(self.target.must)

    @property
    def aim_met(self) -> bool:
        return self._reaches(self.target.aim)

    def _reaches(self, bound: float) -> bool:
        # As it is printed: nobody should have to ask why 0.85 is not 0.85.
        median = round(self.measured.median, 2)
        return median >= bound if self.target.higher_is_better else median <= bound


@dataclass(frozen=True)
class Plot:
    """One picture: for each cell that ``cell`` picks a group of bars, one for each contender.

    With ``against`` the bars are ratios to that contender, else medians of ``column``. ``must`` and ``aim`` are lines.
    """

    name: str
    title: str
    cell: Callable[[Cell], bool]
    column: Column = THOUSAND_CALLS
    against: str | None = None
    contenders: tuple[str, ...] = ()
    """Only these; empty for all."""
    must: Callable[[Cell], float] | None = None
    aim: Callable[[Cell], float] | None = None
    usual: tuple[tuple[str, str | int | float], ...] = ()
    """Values on axes that need no mention in the labels."""
    axis: str = "thousand calls a second"
    """What the figures are, where they are no ratios."""
    logarithmic: bool = False


@dataclass(frozen=True)
class Part:
    """One row of the benchmark."""

    name: str
    title: str
    text: str
    """What is done, for the page."""
    measure: Callable[[Context], list[Cell]]
    ratios: tuple[tuple[str, str], ...] = ()
    """Which contender is shown as a ratio to which."""
    columns: tuple[Column, ...] = (THOUSAND_CALLS, P99)
    ratio_figure: str = "calls_per_second"
    one_row_each: bool = False
    """The table has a row for each contender, because it would be too wide otherwise."""
    targets: tuple[Target, ...] = ()
    plots: tuple[Plot, ...] = field(default_factory=tuple)


def verdicts(part: Part, cells: Sequence[Cell]) -> list[Verdict]:
    """Each target with each cell that it is about."""
    return [
        Verdict(part.name, target, cell, _scaled(cell, target))
        for target in part.targets
        for cell in cells
        if target.cell(cell)
        and cell.has(target.contender, target.figure)
        and (target.against is None or target.against in cell.samples)
    ]


def _scaled(cell: Cell, target: Target) -> Spread:
    if target.against is None:
        measured = cell.spread(target.contender, target.figure)
    else:
        measured = cell.ratio(target.contender, target.against, target.figure)
    factor = target.factor(cell)
    return Spread(measured.median * factor, measured.low * factor, measured.high * factor)
