"""A search over an objective in words: one line, its size, what stopped it, what it cost, what failed."""

from __future__ import annotations

from collections.abc import Callable

from prefect_tune.report.markup import code
from prefect_tune.report.text import (
    FailureGroup,
    counted,
    grouped,
    params_text,
    score_text,
    seconds_text,
)
from prefect_tune.report.tune.facts import TuneFacts
from prefect_tune.results import Failure
from prefect_tune.trials import TrialState

_ENDS = (TrialState.COMPLETED, TrialState.STOPPED, TrialState.FAILED)


def tune_outcome(facts: TuneFacts) -> str:
    """The search in one line of Markdown, for lists of artifacts."""
    size = f"{counted(len(facts.trials), 'trial')} in {seconds_text(facts.result.cost.wall_seconds)}"
    if facts.best is None:
        return size
    params = f" ({code(params_text(facts.best_params))})" if facts.best_params else ""
    return f"best {score_text(facts.trials[facts.best].value)}{params} of {size}"


def size_text(facts: TuneFacts) -> str:
    """How many trials there are and where they stand; how far trials may come."""
    states = [(facts.count(state), str(state)) for state in (*_ENDS, *_others())]
    parts = [f"{n:,} {name}" for n, name in states if n]
    text = counted(len(facts.trials), "trial")
    if len(parts) > 1 or (parts and not facts.count(TrialState.COMPLETED)):
        text += f": {', '.join(parts)}"
    most = facts.result.max_resource
    return text + (f"; up to {counted(most, facts.unit)} each" if facts.staged and most else "")


def _others() -> list[TrialState]:
    return [state for state in TrialState if state not in _ENDS]


def stopped_text(facts: TuneFacts, quote: Callable[[str], str] = str) -> str:
    """One sentence: what ended the search.

    Args:
        facts: of the search.
        quote: how the name of the criterion is set off.
    """
    if facts.result.stopped_by:
        return f"Stopped by {quote(facts.result.stopped_by)}."
    if any(not trial.state.finished for trial in facts.trials):
        return "The search goes on."
    return "It ended by itself: every trial has come to its end."


def order_note(facts: TuneFacts) -> str:
    """Why the best trial is not the first of the leaderboard; empty if it is."""
    if facts.best is None or facts.order[0] == facts.best:
        return ""
    best = facts.trials[facts.best]
    at = facts.order.index(facts.best) + 1
    where = f"has rank {at:,}" if at <= facts.ranked else "has failed since"
    return f"the best value, of trial {best.index}, {where}: trials that came further rank first"


def work_text(facts: TuneFacts) -> str:
    """What was trained, and what the store knew: `213 = 146 trained + 67 known`."""
    cost = facts.result.cost
    return f"{cost.trained + cost.known:,} = {cost.trained:,} trained + {cost.known:,} known"


def cost_rows(facts: TuneFacts) -> list[tuple[str, str]]:
    """What the search has cost, as (what, how much)."""
    cost = facts.result.cost
    each = f" ({1000 * cost.seconds_suggesting / cost.suggestions:.3g} ms each)" if cost.suggestions else ""
    unit = "evaluations"
    if facts.staged:
        unit = "folds" if facts.unit == "fold" else "units of the resource"
    rows = [
        (f"{unit} trained", f"{cost.trained:,}"),
        (f"{unit} known from the store", f"{cost.known:,}"),
        ("task runs", f"{cost.task_runs:,}"),
        ("in objectives", seconds_text(cost.seconds_trained)),
        (counted(cost.suggestions, "suggestion"), seconds_text(cost.seconds_suggesting) + each),
        ("wall time", seconds_text(cost.wall_seconds)),
    ]
    if cost.seconds_active > 1.2 * cost.wall_seconds + 1:
        rows.append(("active, earlier runs included", seconds_text(cost.seconds_active)))
    return [*rows, ("trials at once, at most", f"{cost.slots:,}")]


def trial_failures(facts: TuneFacts) -> list[FailureGroup]:
    """Failed trials by cause, most frequent first."""
    return grouped(
        Failure(
            candidate=trial.index,
            params=params_text({name: trial.params[name] for name in trial.params if name in facts.varied}),
            fold=0,
            cause=trial.error or "unknown",
            tail=trial.trace,
        )
        for trial in facts.trials
        if trial.failed
    )
