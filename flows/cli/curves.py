"""Learning curves of a search as lines of blocks, read from what the search left in its store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect_tune.errors import TuneError
from prefect_tune.flows.cli.stores import opened
from prefect_tune.store.explain import Note
from prefect_tune.store.inspect import searches

BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The scores of one candidate, by what it was trained for.

    Attributes:
        params: what the search chose, as text.
        levels: units of the resource, rising.
        scores: mean over the folds at each level.
    """

    params: str
    levels: list[int]
    scores: list[float]


def sparkline(values: list[float], low: float, high: float) -> str:
    """One block for each value between the least and the greatest; `·` for what is not finite.

    >>> sparkline([0.0, 0.5, 1.0], 0.0, 1.0)
    '▁▅█'
    """
    span = (high - low) or 1.0
    at = [(v - low) / span * (len(BLOCKS) - 1) if math.isfinite(v) else None for v in values]
    return "".join("·" if x is None else BLOCKS[min(max(round(x), 0), len(BLOCKS) - 1)] for x in at)


def note_of(flow_run: str, parameters: Mapping[str, Any]) -> Note | None:
    """What the run left in the store that its parameters name, if that store can be read here."""
    from prefect.exceptions import PrefectException

    try:
        found = searches(opened(parameters.get("store")))
    except (TuneError, PrefectException, ValueError, TypeError):  # another machine's, or a block that is gone
        return None
    return next((note for note in found if note.record.values.get("flow_run") == flow_run), None)


def curves_of(note: Note, *, mode: str = "max", limit: int = 10) -> list[Curve]:
    """The curves of the candidates that went furthest, the best of them first; none without levels."""
    rows = [row for row in note.document.get("scores", ()) if row[3] and row[1] not in ("", "state", "end")]
    if not rows:
        return []
    scope = str(note.record.values.get("scope"))
    records = note.store.lookup([row[0] for row in rows], scope)
    found: dict[str, dict[int, list[float]]] = {}
    metric = ""
    for key, name, node, level in rows:
        if key not in records:
            continue
        values = records[key].values
        value = values.get("score")
        if value is None and values.get("metrics"):
            metric = metric or next(iter(values["metrics"]))
            value = values["metrics"].get(metric)
        elif name != (metric := metric or name):
            continue
        if isinstance(value, (int, float)):
            found.setdefault(_params(note, node), {}).setdefault(level, []).append(float(value))
    curves = [_curve(params, points) for params, points in found.items()]
    sign = 1 if mode == "min" else -1
    return sorted(curves, key=lambda c: (-c.levels[-1], sign * c.scores[-1], c.params))[:limit]


def _curve(params: str, points: dict[int, list[float]]) -> Curve:
    levels = sorted(points)
    return Curve(params=params, levels=levels, scores=[sum(points[at]) / len(points[at]) for at in levels])


def _params(note: Note, node: int) -> str:
    """What the candidate chose, in the steps before the last as well."""
    texts: dict[str, None] = {}
    queue = [node]
    while queue:
        row = note.document["nodes"][queue.pop(0)]
        if row[2] >= 0:
            stem, chosen, _ = note.document["steps"][row[2]]
            path = note.document["stems"][stem]["path"]
            prefix = f"{path}__" if path and path != "objective" else ""
            texts |= {f"{prefix}{name}={text}": None for name, (text, _) in chosen.items()}
        queue += row[3]
    return ", ".join(texts)
