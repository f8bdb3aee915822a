"""What is said about results: verdicts, tables and the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import page
from bench.original import PRIMARY, REDIS, SECONDARY, redis_over
from bench.part import Context, Part, Target, verdicts
from bench.parts import PARTS, latency, memory, secondary
from bench.results import Cell, PartResult, Results
from bench.tables import as_markdown, as_text, part_table, setting, varying
from bench.turns import OTHERS


def cell(depth: int, ckv: list[float], redis: list[float]) -> Cell:
    made = Cell({"op": "get", "depth": depth})
    for one, other in zip(ckv, redis, strict=True):
        made.add("ckv", {"calls_per_second": one, "p99_us": 1e6 / one})
        made.add("Redis", {"calls_per_second": other, "p99_us": 1e6 / other})
    return made


def part(*targets: Target, one_row_each: bool = False) -> Part:
    def nothing(context: Context) -> list[Cell]:
        raise AssertionError("nobody measures here")

    return Part("p", "The part", "Text.", nothing, (("ckv", "Redis"),), targets=targets, one_row_each=one_row_each)


def at_depth(depth: int, must: float, **more: object) -> Target:
    return Target("speed", lambda c: c.matches(depth=depth), "ckv", "Redis", must, 2.0, **more)  # type: ignore[arg-type]


CELLS = [cell(1, [80e3, 90e3, 85e3], [100e3] * 3), cell(16, [200e3] * 3, [400e3] * 3)]


@pytest.mark.parametrize(("must", "met"), [(0.84, True), (0.85, True), (0.86, False)])
def test_a_target_is_met_by_the_median(must: float, met: bool) -> None:
    (verdict,) = verdicts(part(at_depth(1, must)), CELLS)
    assert (verdict.met, verdict.aim_met) == (met, False)
    assert (verdict.measured.low, verdict.measured.high) == (0.8, 0.9)


def test_a_target_judges_each_of_its_cells_and_no_other() -> None:
    both = verdicts(part(Target("speed", lambda c: True, "ckv", "Redis", 0.6, 1.0)), CELLS)
    assert [(verdict.cell.axes["depth"], verdict.met) for verdict in both] == [(1, True), (16, False)]


@pytest.mark.parametrize(("must", "met"), [(1.9, False), (2.0, True), (2.1, True)])
def test_less_can_be_better(must: float, met: bool) -> None:
    (verdict,) = verdicts(part(at_depth(16, must, figure="p99_us", higher_is_better=False)), CELLS)
    assert verdict.met is met


def test_a_target_that_nobody_measured_is_not_judged() -> None:
    assert verdicts(part(Target("speed", lambda c: True, "ckv", "memcached", 0.6, 1.0)), CELLS) == []


def test_a_target_without_a_peer_is_judged_by_the_figure_itself() -> None:
    target = Target("p99 in ns", lambda c: c.matches(depth=1), "ckv", None, 12e3, 11e3, figure="p99_us",
                    higher_is_better=False, factor=lambda c: 1e3)  # fmt: skip
    (verdict,) = verdicts(part(target), CELLS)
    assert verdict.measured.median == pytest.approx(1e9 / 85e3)
    assert (verdict.met, verdict.aim_met) == (True, False)


def test_each_target_of_the_secondary_is_about_settings_that_are_measured() -> None:
    cells = [Cell(secondary.axes(load)) for load in [*secondary.base_loads(), *secondary.side_loads(full=False)]]
    assert not [target.text for target in secondary.PART.targets if not any(map(target.cell, cells))]
    ours = [target for target in secondary.PART.targets if target.text.startswith("a secondary against Redis")]
    # Not judged: one connection, few keys, small values.
    left = [cell for cell in cells if not any(target.cell(cell) for target in ours)]
    assert {(cell.axes["connections"], cell.axes["keys"], cell.axes["value_bytes"]) for cell in left} == {
        (1, 100_000, 64), (50, 10_000, 64), (50, 100_000, 16),
    }  # fmt: skip
    assert not [cell for cell in cells if sum(target.cell(cell) for target in ours) > 1]


def test_the_way_to_the_original_goes_by_way_of_redis() -> None:
    (verdict,) = verdicts(part(at_depth(16, 1.0, factor=lambda c: redis_over(SECONDARY, c))), CELLS)
    original_against_redis = SECONDARY["get", 16] / REDIS["get", 16]
    assert verdict.measured.median == pytest.approx(0.5 / original_against_redis)
    assert REDIS.keys() == SECONDARY.keys() == PRIMARY.keys()


def test_a_table_names_the_axes_that_vary() -> None:
    headings, rows = part_table(part(), CELLS)
    assert headings == ["depth", "ckv k/s", "ckv p99 us", "Redis k/s", "Redis p99 us", "ckv / Redis"]
    assert rows[0] == ["1", "85.0", "12", "100.0", "10", "0.85 (0.80-0.90)"]


def test_a_long_table_has_a_row_for_each_contender() -> None:
    headings, rows = part_table(part(one_row_each=True), CELLS)
    assert headings == ["depth", "", "k/s", "p99 us", "k/s / Redis"]
    assert [row[:2] for row in rows] == [["1", "ckv"], ["1", "Redis"], ["16", "ckv"], ["16", "Redis"]]
    assert [row[-1] for row in rows] == ["0.85 (0.80-0.90)", "", "0.50 (0.50-0.50)", ""]


def test_a_contender_that_was_not_in_a_cell_leaves_it_empty() -> None:
    alone = Cell({"op": "put", "depth": 1})
    alone.add("ckv", {"calls_per_second": 1e3})
    _, rows = part_table(part(), [*CELLS, alone])
    assert rows[-1] == ["put", "1", "1.0", "", "", "", ""]


def test_settings_are_told_in_words() -> None:
    axes: dict[str, str | int | float] = {
        "op": "get",
        "depth": 16,
        "connections": 500,
        "value_bytes": 65536,
        "zipf": 0.0,
    }
    assert setting(axes, axes) == "get, depth 16, 500 connections, 64 KiB, uniform"
    assert varying([Cell(axes), Cell({**axes, "depth": 1})]) == ["depth"]


def test_text_and_markdown_show_the_same() -> None:
    table = part_table(part(), CELLS)
    cells_of_text = [line.split("  ") for line in as_text(table).splitlines()]
    words = [[word.strip() for word in line if word.strip()] for line in cells_of_text]
    markdown = [line.strip("| ").split(" | ") for line in as_markdown(table).splitlines()]
    assert words == [markdown[0], *markdown[2:]]


def test_results_survive_the_file(tmp_path: Path) -> None:
    results = Results({"date": "today"}, {"p": PartResult(CELLS, 1.5, 3)})
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results


def test_a_part_that_was_measured_again_takes_the_place_of_the_old_one_and_says_so() -> None:
    first = Results(
        {"date": "2026-01-01", "Redis": "7"}, {"p": PartResult(CELLS, 9.0, 3), "q": PartResult(CELLS, 1.0, 3)}
    )
    first.take(Results({"date": "2026-02-02", "Redis": "7", "rounds": "9"}, {"p": PartResult(CELLS[:1], 2.0, 9)}))
    assert first.parts["p"] == PartResult(CELLS[:1], 2.0, 9, {"date": "2026-02-02", "rounds": "9"})
    assert first.parts["q"].run == {}
    first.run["command"] = "make bench"
    text = page.text(first, [part()])
    assert "In a run of its own (date: 2026-02-02, rounds: 9)." in text
    assert "Parts that were measured again" in text


def test_the_page_says_what_it_is_and_shows_every_verdict() -> None:
    run = {"date": "2026-01-01", "command": "make bench"}
    text = page.text(Results(run, {"p": PartResult(CELLS, 9.0, 3)}), [part(at_depth(1, 0.5), at_depth(16, 0.9))])
    assert text.startswith("<!-- Made by `make bench`")
    assert "| date | 2026-01-01 |" in text
    assert "1 of 2 are met, 0 reach what was aimed at." in text
    assert re.findall(r"\| (pass|FAIL) \|", text) == ["pass", "FAIL"]


def test_the_page_tells_how_disturbed_the_machine_was() -> None:
    busy = Cell({"op": "get"})
    for cores in (0.1, 0.2, 0.9):
        busy.add("ckv", {"calls_per_second": 1.0, OTHERS: cores})
    text = page.text(Results({"command": "make bench"}, {"secondary": PartResult([busy], 1.0, 3)}), [])
    assert "| others on the machine | 0.20 cores in the median turn, 0.90 in the worst |" in text


def test_slices_keep_the_worst() -> None:
    slices = [{"p99_us": 1.0, "worst_us": 5.0}, {"p99_us": 9.0, "worst_us": 70.0}, {"p99_us": 2.0, "worst_us": 6.0}]
    assert latency.together(slices) == {"p99_us": 2.0, "worst_us": 70.0}


def test_a_pause_is_the_servers_own_when_it_comes_in_every_round() -> None:
    assert memory.own_pause([[1.0, 60.0, 9.0], [7.0, 50.0, 1.0], [2.0, 70.0, 80.0]]) == 50.0


def test_names_of_parts_and_plots_are_unique() -> None:
    plots = [plot.name for one in PARTS for plot in one.plots]
    assert len(set(plots)) == len(plots)
    assert len({one.name for one in PARTS}) == len(PARTS)
