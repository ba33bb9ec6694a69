"""The measurements of each benchmark as tables of the page: what was measured, beside what, and the bound.

Rule 1: a ratio above 1 means that ours is better; of budgets it is ours over the reference, as they are set.
Rule 2: what was not measured has no row; a system that was not there has a dash.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Found = dict[str, Any]
NONE = "-"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a table.

    Attributes:
        what: was measured.
        ours: figure, with its unit.
        beside: that of a peer or a reference in the same run.
        ratio: how many times better ours is; None without a peer.
        bound: what cannot be beaten, or what was asked for.
        peer: whose figure the ratio is of, where it is one of the systems that others use.
    """

    what: str
    ours: str
    beside: str = NONE
    ratio: float | None = None
    bound: str = NONE
    peer: str = ""

    def cells(self) -> tuple[str, ...]:
        """The cells of the row."""
        return self.what, self.ours, self.beside, times(self.ratio), self.bound


HEAD = ("what", "prefect-tune", "beside it", "ratio", "bound")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown.

    >>> print(table(("a", "b"), [("1", "2")]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [list(head), ["---"] * len(head), *([cell.replace("|", "\\\\|") for cell in row] for row in rows)]
    return "\n".join(
        f"| {' | '.join(line)} |" if line[0] != "---" else f"|{'|'.join(line)}|" for line in lines
    )


def times(ratio: float | None) -> str:
    """A ratio as a cell that does not break.

    >>> times(2.345).split(), times(None)
    (['2.35', '×'], '-')
    """
    return NONE if ratio is None else f"{ratio:.{2 if ratio < 0.1 else 3}g}\u00a0×"


def untitled(found: Found) -> str:
    """The title of a part, without the word of its unit."""
    return str(found["title"]).removesuffix(", GB/s")


def against(peer: str, part: Found, ratio: float) -> Line:
    """The line of a search that ran in turns with a peer's."""
    return Line(
        what=untitled(part),
        ours=f"{part['median']['prefect-tune']:.2f} s",
        beside=f"{peer} {part['median'][peer]:.2f} s",
        ratio=ratio,
        bound=f"{part['bound']:.2f} s",
        peer=peer,
    )


# --- grid -------------------------------------------------------------------------------------------------


def grid_lines(found: Found) -> Iterator[Line]:
    """The lines of grid searches."""
    for name in ("a-small", "a", "b", "c"):
        if part := found.get(name):
            for peer, ratio in part["ratio"].items():
                yield against(peer, part, ratio)
    if part := found.get("d"):
        first = f"its first run {part['first']:.1f} s"
        yield Line(what=untitled(part), ours=f"{part['median']:.2f} s", beside=first)
    if part := found.get("e"):
        yield Line(
            what=untitled(part),
            ours=f"{part['median']['tune']:.1f} ms",
            beside=f"stock DaskTaskRunner {part['median']['stock']:.1f} ms",
            ratio=part["ratio"],
            peer="stock DaskTaskRunner",
        )
    if part := found.get("f"):
        raw = f"{part['raw']:.1f} GB/s"
        ours = f"{part['fingerprint']:.1f} GB/s"
        yield Line(what=untitled(part), ours=ours, beside=f"raw BLAKE3 {raw}", ratio=part["ratio"], bound=raw)
    if part := found.get("g"):
        for count, one in part["candidates"].items():
            ours = f"{one['seconds']:.2f} s, {one['bytes_per_leaf'] / 1000:.1f} kB a fit"
            yield Line(what=f"{untitled(part)}, {int(count):,} candidates", ours=ours)


# --- adaptive ---------------------------------------------------------------------------------------------


def adaptive_lines(found: Found) -> Iterator[Line]:
    """The lines of adaptive searches."""
    if part := found.get("a"):
        yield against("dask-ml", part, part["ratio"])
    if part := found.get("b"):
        passes, score = part["passes_to_goal"], part["median_test"]
        yield Line(
            what=f"{untitled(part)}: passes over the data to the goal; test score",
            ours=f"{_passes(passes['hyperband'])}; {score['hyperband']:.3f}",
            beside=f"all trained to the end {_passes(passes['passive'])}; {score['passive']:.3f}",
            ratio=passes["passive"] / passes["hyperband"] if all(passes.values()) else None,
        )
    if part := found.get("c"):
        same = all(each["same_outcome"] for each in part["rounds"])
        yield Line(
            what=f"{untitled(part)}: calls of both runs over those of one",
            ours=f"{part['ratio']:.4f}, {'same' if same else '**another**'} winner and score",
            bound="1; 1.05 asked",
        )
    if part := found.get("d"):
        each = ", ".join(f"{one['role']} {one['peak'] / 1e6:.0f} MB" for one in part["processes"])
        ours = f"{part['share']:.3f} of the data ({each})"
        yield Line(what=f"{untitled(part)}: largest process", ours=ours, bound="0.25 asked")
    if part := found.get("e"):
        for count, one in part["workers"].items():
            yield Line(
                what=f"{untitled(part)}, {count} workers",
                ours=f"{one['seconds']:.1f} s = {one['over_bound']:.2f} × what rungs allow",
                bound=f"{one['bound']:.1f} s; work or longest chain {one['simple']:.1f} s",
            )


def _passes(count: float | None) -> str:
    return "never" if count is None else f"{count:.0f}"


# --- tuners -----------------------------------------------------------------------------------------------


def tuner_lines(found: Found) -> Iterator[Line]:
    """The lines of searches over any objective."""
    if part := found.get("b"):
        ours = part["per_trial"]["prefect-tune"]
        for name, seconds in part["per_trial"].items():
            if name != "prefect-tune":
                own = name.startswith("prefect-tune")
                yield Line(
                    what=f"{untitled(part)}: per trial",
                    ours=f"{1000 * ours:.1f} ms",
                    beside=f"{'with TPE' if own else name} {1000 * seconds:.1f} ms",
                    ratio=None if own else seconds / ours,
                    peer="" if own else name,
                )
    if part := found.get("c"):
        for name, sizes in part["milliseconds"].items():
            said = ", ".join(f"{size}: {one['median']:.0f} ms" for size, one in sizes.items())
            asked = "500: 50 ms asked" if name == "TPE" else "500: 1 s asked"
            yield Line(what=f"{untitled(part)}, {name}, by records", ours=said, bound=asked)
    if part := found.get("d"):
        kills = sum(one[name]["kills"] for one in part["rounds"] for name in ("one", "two"))
        table_is = "the undisturbed table" if part["same_table"] else "**another table**"
        for name, workers in (("one", "one worker"), ("two", "two workers")):
            yield Line(
                what=f"{untitled(part)}, {kills} kills, {workers}: epochs run over those needed",
                ours=f"{part['ratio'][name]:.3f}" + (f", {table_is}" if name == "one" else ""),
                bound="1",
            )


# --- scale and budgets ------------------------------------------------------------------------------------

UNITS = {
    "grid": "grid, 5 folds × 4 steps, candidates",
    "hyperband": "Hyperband's brackets, `max_iter`",
    "workers": "asynchronous halving, 5,000 trials, simulated workers",
    "rungs": "a rung, records",
    "tuner": "a whole search, trials",
    "journal": "journal written line by line, lines",
    "replay": "journal read and replayed, events",
    "real": "a real grid, candidates",
}


def scale_rows(found: Found) -> Iterator[tuple[str, ...]]:
    """What grows, how large, seconds of each size, the exponents, and what the largest costs for each."""
    for part in ("a", "b", "c", "d"):
        for name, one in found.get(part, {}).items():
            rows, largest = one["rows"], one["rows"][-1]
            whole = name in ("workers", "hyperband")  # what they cost does not belong to a worker or a level
            yield (
                UNITS[name],
                ", ".join(f"{row['size']:,}" for row in rows),
                ", ".join(f"{row['cpu']:.3g}" for row in rows),
                ", ".join(f"{power:.2f}" for power in one["exponents"]) or NONE,
                NONE if whole else f"{1e6 * largest['cpu'] / largest['size']:.0f} µs",
                NONE if whole else f"{largest['bytes'] / largest['size'] / 1024:.1f} KiB",
                _more(name, largest),
            )


def _more(name: str, row: Found) -> str:
    """What else a row says."""
    said = {
        "grid": lambda: (
            f"{row['steps']:,} steps, {row['distinct']:,} distinct, {row['task_runs']:,} task runs"
        ),
        "hyperband": lambda: f"{row['models']:,} candidates, {row['calls']:,} calls",
        "workers": lambda: f"{row['reports_a_second']:,} reports a second",
        "rungs": lambda: f"{row['promoted']:,} promoted",
        "tuner": lambda: f"{row['decisions_a_second']:,} decisions a second",
        "journal": lambda: (
            f"{row['one_by_one_a_second']:,} lines a second, by hundreds {row['by_hundreds_a_second']:,}"
        ),
        "replay": lambda: f"{row['bytes_a_line']} bytes a line",
        "real": lambda: (
            f"{row['candidates_a_second']:.0f} candidates a second, {row['driver_cpu_ms_each']} ms of the "
            f"driver each, {row['task_runs']} task runs"
        ),
    }
    return said[name]()


def budget_rows(found: Found) -> Iterator[tuple[str, ...]]:
    """What one step costs, beside a reference, and the budget."""
    for case in found["cases"].values():
        for row in case["rows"]:
            best = "" if row["best_ratio"] is None else f" (best {row['best_ratio']:.3g})"
            ratio = NONE if row["ratio"] is None else f"{row['ratio']:.3g}{best}"
            verdict = "**missed**" if row["met"] is False else row["verdict"]
            yield row["quantity"], row["measured"], row["reference"], ratio, row["budget"] or NONE, verdict


def budgets(found: Found) -> str:
    """The table of budgets, and how many are met."""
    verdicts = [row["met"] for case in found["cases"].values() for row in case["rows"]]
    judged = [met for met in verdicts if met is not None]
    load = statistics.median(case["load"] for case in found["cases"].values())
    head = ("quantity", "measured", "reference in the same run", "ratio", "budget", "")
    summary = f"{sum(judged)} of {len(judged)} budgets met, median load {load:.1f}."
    return f"{table(head, budget_rows(found))}\n\n{summary}"


def compared(lines: Callable[[Found], Iterator[Line]]) -> Callable[[Found], str]:
    """What makes the table of such lines."""
    return lambda found: table(HEAD, (line.cells() for line in lines(found)))


def scale(found: Found) -> str:
    """The table of what grows."""
    head = ("what", "sizes", "CPU seconds", "exponents", "CPU each", "memory each", "")
    return table(head, scale_rows(found))


LINES: dict[str, Callable[[Found], Iterator[Line]]] = {
    "grid": grid_lines,
    "adaptive": adaptive_lines,
    "tuners": tuner_lines,
}
TABLES: dict[str, Callable[[Found], str]] = {
    **{name: compared(lines) for name, lines in LINES.items()},
    "scale": scale,
    "budgets": budgets,
}
