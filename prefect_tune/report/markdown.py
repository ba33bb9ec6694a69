"""A finished search as one Markdown page, for the Prefect UI and for a file.

Rule 1: text that came from users stands in code spans and fenced blocks only (see `markup`).
Rule 2: the page is bounded: every list is cut and says so, and the pictures go before the text does.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from prefect_tune.report import adaptive_page
from prefect_tune.report.curves import curves_figure
from prefect_tune.report.figures import cost_figure, data_uri, score_figure
from prefect_tune.report.markup import code, fenced, table
from prefect_tune.report.parameters import important_parameters, varied_parameters
from prefect_tune.report.sections import MAX_BYTES, approved, origin, uncacheable
from prefect_tune.report.tables import column_name, leaderboard_rows, measured_columns
from prefect_tune.report.text import (
    FailureGroup,
    bytes_text,
    counted,
    failure_groups,
    score_text,
    seconds_text,
    value_text,
)
from prefect_tune.results import AdaptiveResult, SearchResult

__all__ = ["MAX_BYTES", "code", "fenced", "report_markdown", "table"]

_ROWS, _COLUMNS, _GROUPS = 10, 8, 10

_log = logging.getLogger(__name__)


def report_markdown(result: SearchResult, *, figures: bool = True) -> str:
    """The report of a search as CommonMark with tables, at most 400 kB of UTF-8.

    Args:
        figures: embed the pictures as `data:` URIs, defined at the end so that the source stays readable.
    """
    images = _images(result) if figures else {}
    sections = [
        f"# {code(result.name or 'search')}",
        _summary(result),
        approved(result.approval),
        *(adaptive_page.sections(result, "curves" in images) if isinstance(result, AdaptiveResult) else []),
        _leaderboard(result),
        *(
            [f"![Scores of the candidates][scores]\n\n{_explained(result)}".strip()]
            if "scores" in images
            else []
        ),
        _reuse(result, "cost" in images),
        _cost(result),
        _failures(result),
        uncacheable(result.uncacheable, "steps that hold them run"),
        origin(result.flow_run_url),
    ]
    text = "\n\n".join(section for section in sections if section) + "\n"
    links = "".join(f"\n[{name}]: {uri}\n" for name, uri in images.items())
    if len(text.encode()) + len(links) > MAX_BYTES and figures:
        return report_markdown(result, figures=False)
    return text + links


def _images(result: SearchResult) -> dict[str, str]:
    """Name and URI of each picture that could be drawn. A report without pictures is better than none."""
    images: dict[str, str] = {}
    pictures: list[tuple[str, Callable[[Any], bytes]]] = [("scores", score_figure), ("cost", cost_figure)]
    if isinstance(result, AdaptiveResult):
        pictures.append(("curves", curves_figure))
    for name, draw in pictures:
        try:
            images[name] = data_uri(draw(result))
        except Exception:
            _log.warning("report: the picture of %s could not be drawn", name, exc_info=True)
    return images


def _summary(result: SearchResult) -> str:
    size, mean = f"{counted(len(result), 'candidate')}, {counted(result.n_splits, 'fold')}", "mean "
    chosen, resumed = "was chosen", ""
    if isinstance(result, AdaptiveResult):
        size, resumed = adaptive_page.size_text(result), adaptive_page.resumed_text(result)
        chosen, mean = "yet", mean if result.n_splits > 1 else ""
    if result.best_score is not None and not math.isfinite(result.best_score):
        return f"**No candidate has a score**: all failed ({size})."
    if result.best_params is None:
        return "\n\n".join(filter(None, [f"No best candidate {chosen} ({size}).", resumed]))
    score = f", {mean}test {code(result.metric)} **{score_text(result.best_score)}**"
    params = list(result.best_params.items())
    rows = [(code(name, cell=True), code(value_text(value, 200), cell=True)) for name, value in params[:50]]
    parts = [f"**Best of {size}**{score if result.best_score is not None else ''}"]
    if rows:
        parts.append(table(("parameter", "best value"), rows, "ll"))
    if len(params) > len(rows):
        parts.append(f"and {counted(len(params) - len(rows), 'parameter')} more.")
    return "\n\n".join([*parts, *([resumed] if resumed else [])])


def _leaderboard(result: SearchResult) -> str:
    rows = leaderboard_rows(result, _ROWS)
    if not rows:
        return ""
    varied = list(varied_parameters(result))
    others = [m for m in result.metrics if m != result.metric][_COLUMNS:]
    fixed = [name for name in measured_columns(result) if name not in others]
    names = [column_name(result, name) for name in varied[:_COLUMNS]]
    plain = {"rank": "rank", "std": "std", "fit_seconds": "fit (s)", "bracket": "bracket"}
    header = [plain.get(name) or code(name, cell=True) for name in (*fixed, *names)]
    body = [[_number(row[c]) for c in fixed] + [_cell(row[c]) for c in names] for row in rows]
    parts = ["## Leaderboard", table(header, body, "r" * len(fixed) + "l" * len(names))]
    notes = [f"best {len(rows)} of {counted(len(result), 'candidate')}"] if len(rows) < len(result) else []
    hidden = len(varied) - len(names)
    notes += [f"{counted(hidden, 'parameter')} not shown"] if hidden else []
    notes += adaptive_page.notes(result) if isinstance(result, AdaptiveResult) else []
    return "\n\n".join([*parts, *(["_" + "; ".join(notes) + "_"] if notes else [])])


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    return code(value_text(value), cell=True) if value != "" else ""


def _explained(result: SearchResult) -> str:
    """One line on what mattered, when there is enough to say so."""
    shares = [(name, share) for name, _, share in important_parameters(result)[:5] if share >= 0.01]
    if len(result) < 10 or not shares:
        return ""
    listed = ", ".join(f"{code(name)} {share:.0%}" for name, share in shares)
    return f"Share of the differences in rank that each parameter explains alone: {listed}."


def _reuse(result: SearchResult, figure: bool) -> str:
    cost = result.cost
    if isinstance(result, AdaptiveResult):
        return adaptive_page.reuse(result, figure)
    rows = [
        ("steps if every candidate and fold ran alone", cost.uses),
        ("shared between candidates", cost.shared),
        ("distinct", cost.distinct),
        ("known from the store", cost.known),
        ("run", cost.run),
        ("failed scores", cost.failed),
        ("task runs", cost.task_runs),
    ]
    parts = ["## Reuse", table(("steps", "number"), [(name, f"{n:,}") for name, n in rows], "lr")]
    return "\n\n".join([*parts, *(["![Steps and seconds, spared and spent][cost]"] if figure else [])])


def _cost(result: SearchResult) -> str:
    cost = result.cost
    rows = [
        ("wall time", seconds_text(cost.wall_seconds)),
        ("work run", seconds_text(cost.seconds_run)),
        ("work saved", seconds_text(cost.seconds_saved)),
        ("written to the store", bytes_text(cost.bytes_written)),
    ]
    if cost.taken_over:
        rows.append(("units of the resource trained", f"{cost.trained:,}"))
        rows.append(("taken over from earlier iterations", f"{cost.taken_over:,}"))
    if result.refit_seconds is not None:
        rows.append(("refit of the best", seconds_text(result.refit_seconds)))
    return "## Cost\n\n" + table(("what", "how much"), rows, "lr")


def _failures(result: SearchResult) -> str:
    groups = failure_groups(result)
    total = max(result.cost.failed, len(result.failures))
    if not total:
        return ""
    parts = ["## Failures", f"{counted(total, 'score')} failed."]
    parts += [_failure(group) for group in groups[:_GROUPS]]
    rest = groups[_GROUPS:]
    if rest:
        scores = counted(sum(len(group.failures) for group in rest), "score")
        parts.append(f"and {counted(len(rest), 'more cause')} with {scores}.")
    return "\n\n".join(parts)


def _failure(group: FailureGroup) -> str:
    first, rows = group.first, group.candidates
    listed = ", ".join(str(row) for row in rows[:_ROWS]) + (", …" if len(rows) > _ROWS else "")
    many = "s" if len(rows) > 1 else ""
    return "\n\n".join(
        [
            f"### {code(first.cause)}",
            f"{counted(len(group.failures), 'score')} of candidate{many} {listed}. "
            f"First: candidate {first.candidate}, fold {first.fold}, {code(first.params or '{}')}",
            fenced(first.tail or first.cause),
        ]
    )
