"""A search over an objective as one Markdown page, for the Prefect UI and for a file.

Rule 1: text that came from users stands in code spans and fenced blocks only (see `markup`).
Rule 2: the page is bounded: every list is cut and says so, and the largest pictures go before the text does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from prefect_tune.report.canvas import data_uri, png
from prefect_tune.report.markup import code, fenced, table
from prefect_tune.report.sections import MAX_BYTES, approved, origin, uncacheable
from prefect_tune.report.text import FailureGroup, counted, score_text, value_text
from prefect_tune.report.tune.bars import importance_figure, why_unknown
from prefect_tune.report.tune.curves import curves_figure
from prefect_tune.report.tune.facts import TuneFacts, rung_facts
from prefect_tune.report.tune.history import history_figure
from prefect_tune.report.tune.importances import Importances, importances
from prefect_tune.report.tune.parallel import parallel_figure
from prefect_tune.report.tune.rows import column_name, leading_columns, tune_rows
from prefect_tune.report.tune.slices import slice_figure
from prefect_tune.report.tune.words import (
    cost_rows,
    order_note,
    size_text,
    stopped_text,
    trial_failures,
)

_ROWS, _COLUMNS, _GROUPS, _PARAMS = 10, 8, 10, 50
_TEXTS = {
    "history": ("History", "Each dot is a trial, in order of creation; the line follows the best so far."),
    "curves": (
        "Learning curves",
        "One line for each trial, darker the further it came. Vertical lines are rungs, where trials are "
        "compared, with the number that came so far; a cross is a failure.",
    ),
    "folds": (
        "Means over folds",
        "One line for each trial: the mean over its first folds, their number to the right. A trial that was "
        "hopeless was dropped before the last.",
    ),
    "importances": (
        "Importances",
        "How much of the differences in rank each parameter explains, alone and together with others: a "
        "random forest predicts ranks of trials that it has not seen, and gets so much worse when the values "
        "of the parameter are shuffled.",
    ),
    "slices": ("Slices", "The metric against one parameter after the other, later trials darker."),
    "parallel": (
        "Parallel coordinates",
        "Each line is a trial, darker the better its rank; the best is red, dotted ones failed.",
    ),
}

_log = logging.getLogger(__name__)


def tune_markdown(facts: TuneFacts, *, figures: bool = True) -> str:
    """The report of a search over an objective as CommonMark with tables, at most 400 kB of UTF-8.

    Args:
        facts: of the search.
        figures: embed the pictures as `data:` URIs, defined at the end so that the source stays readable.
    """
    known = importances(facts) if figures else None
    images = _images(facts, known) if known else {}
    text = _text(facts, known, images)
    while images and len(text.encode()) + sum(map(len, images.values())) > MAX_BYTES - 1_000:
        del images[max(images, key=lambda name: len(images[name]))]
        text = _text(facts, known, images)
    return text + "".join(f"\n[{name}]: {uri}\n" for name, uri in images.items())


def _text(facts: TuneFacts, known: Importances | None, images: dict[str, str]) -> str:
    result = facts.result
    sections = [
        f"# {code(result.name or 'search')}",
        _summary(facts),
        approved(result.approval),
        _leaderboard(facts),
        _picture("history", images),
        _curves(facts, images),
        _picture("importances", images),
        f"_{why_unknown(facts, known)}_" if known and not known.known and facts.varied else "",
        _picture("slices", images),
        _picture("parallel", images),
        "## Cost\n\n" + table(("what", "how much"), cost_rows(facts), "lr"),
        _failures(facts),
        uncacheable(result.uncacheable, "trials run"),
        _more(facts),
        origin(result.flow_run_url),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _images(facts: TuneFacts, known: Importances) -> dict[str, str]:
    """Name and URI of each picture that tells something. A report without pictures is better than none."""
    if facts.best is None:
        return {}
    names: Sequence[str] = list(known.shares) or facts.varied
    pictures: list[tuple[str, bool, Callable[[], Any]]] = [
        ("history", len(facts.trials) > 1, lambda: history_figure(facts)),
        ("curves", facts.staged, lambda: curves_figure(facts)),
        ("importances", known.known, lambda: importance_figure(facts, known)),
        ("slices", bool(names), lambda: slice_figure(facts, names)),
        ("parallel", len(names) > 1, lambda: parallel_figure(facts, names)),
    ]
    images = {}
    for name, worth, draw in pictures:
        if not worth:
            continue
        try:
            images[name] = data_uri(png(draw()))
        except Exception:
            _log.warning("report: the picture of %s could not be drawn", name, exc_info=True)
    return images


def _picture(name: str, images: dict[str, str], text: str = "") -> str:
    title, caption = _TEXTS[text or name]
    return f"## {title}\n\n![{title}][{name}]\n\n_{caption}_" if name in images else ""


def _summary(facts: TuneFacts) -> str:
    course = f"{size_text(facts)}. {stopped_text(facts, code)}"
    if facts.best is None:
        return f"**No trial has a value.**\n\n{course}"
    best = facts.trials[facts.best]
    at = f" at {best.levels[-1]:,}" if facts.staged else ""
    size = counted(len(facts.trials), "trial")
    parts = [f"**Best of {size}**: {code(facts.metric)} **{score_text(best.value)}**, trial {best.index}{at}"]
    params = sorted(best.params.items(), key=lambda item: item[0] not in facts.varied)
    rows = [(code(name, cell=True), _cell(value_text(value, 200))) for name, value in params[:_PARAMS]]
    if rows:
        parts.append(table(("parameter", "best value"), rows, "ll"))
    if len(params) > len(rows):
        parts.append(f"and {counted(len(params) - len(rows), 'parameter')} more.")
    return "\n\n".join([*parts, course])


def _leaderboard(facts: TuneFacts) -> str:
    rows = tune_rows(facts, _ROWS)
    if not rows:
        return ""
    fixed, names = leading_columns(facts), [column_name(facts, name) for name in facts.varied[:_COLUMNS]]
    header = [*fixed[:-1], *(code(name, cell=True) for name in (facts.metric, *names))]
    body = [[_number(row[c]) for c in fixed] + [_cell(row[c]) for c in names] for row in rows]
    align = "".join("l" if name == "state" else "r" for name in fixed) + "l" * len(names)
    notes = [f"first {len(rows)} of {counted(len(facts.trials), 'trial')}"]
    notes = notes if len(rows) < len(facts.trials) else []
    hidden = len(facts.varied) - len(names)
    notes += [f"{counted(hidden, 'parameter')} not shown"] if hidden else []
    notes += [order_note(facts)] if order_note(facts) else []
    parts = ["## Leaderboard", table(header, body, align), *(["_" + "; ".join(notes) + "_"] if notes else [])]
    return "\n\n".join(parts)


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    return code(value_text(value, 200), cell=True) if value != "" else ""


def _curves(facts: TuneFacts, images: dict[str, str]) -> str:
    """The picture, and the same in numbers: how the trials of each rung did."""
    rungs = [rung for rung in rung_facts(facts) if rung.size] if len(facts.levels) > 1 else []
    picture = _picture("curves", images, "folds" if facts.unit == "fold" else "")
    if not rungs:
        return picture
    rows = [(f"{r.level:,}", f"{r.size:,}", score_text(r.median), score_text(r.best)) for r in rungs]
    return "\n\n".join([picture or "## Rungs", table(("resource", "trials", "median", "best"), rows, "rrrr")])


def _failures(facts: TuneFacts) -> str:
    groups = trial_failures(facts)
    if not groups:
        return ""
    total = sum(len(group.failures) for group in groups)
    parts = ["## Failures", f"{counted(total, 'trial')} failed."]
    parts += [_failure(group) for group in groups[:_GROUPS]]
    if rest := groups[_GROUPS:]:
        trials = counted(sum(len(group.failures) for group in rest), "trial")
        parts.append(f"and {counted(len(rest), 'more cause')} with {trials}.")
    return "\n\n".join(parts)


def _failure(group: FailureGroup) -> str:
    first, trials = group.first, group.candidates
    listed = ", ".join(map(str, trials[:_ROWS])) + (", …" if len(trials) > _ROWS else "")
    which = f"{counted(len(trials), 'trial')}: {listed}. First: trial " if len(trials) > 1 else "Trial "
    params = f", {code(first.params)}" if first.params else ""
    return "\n\n".join(
        [f"### {code(first.cause)}", f"{which}{first.candidate}{params}", fenced(first.tail or first.cause)]
    )


def _more(facts: TuneFacts) -> str:
    """How to see the whole."""
    if facts.best is None:
        return ""
    calls = ["result.best_estimator()    # fitted on all rows"] if facts.result.model else []
    calls += ["result.dataframe()         # a row for each trial"]
    calls += ["result.curves()            # a row for each report"] if facts.staged else []
    calls += [
        "",
        "from prefect_tune.report.tune import plot_slices",
        "plot_slices(result)        # likewise history, curves, parallel, importances",
    ]
    return "\n\n".join(["## The whole", "\n".join(["```python", *calls, "```"])])
