"""What must hold of a search over an objective, whatever has happened to it."""

from __future__ import annotations

import math
from typing import Any

from sim_tune_cases import R
from sim_tune_work import grown, loss_of
from sim_world import check

from prefect_tune.trials import TrialState
from prefect_tune.tuning.budget import Status
from prefect_tune.tuning.jobs import Chain
from prefect_tune.tuning.tuner import Tuner


def examine(story: Any) -> None:
    """Nothing; the story ended as it must.

    Raises:
        Broken: it did not.
    """
    tuner = story.tuner
    check(tuner.over, "the search has ended, and something runs")
    _values(tuner, story.scenario.bad)
    _counts(tuner, story.scenario.settings.budget.n_trials)
    if story.scenario.kind != "bare":  # without states a promoted trial begins again by design
        _repeated(story)
    if not story.unwritten:
        again = story.told()
        check(table(again) == table(tuner), "the journal replays to another table")
        check(not again.running, "the replayed search has something left to do")


def is_part(told: Tuner, dead: Tuner, whole: bool) -> None:
    """What the journal tells is what a process that was killed knew, in the same words.

    Args:
        whole: whether nothing of what it knew was still to be written.
    """
    for trial in told.trials:
        knew = dead.trials[trial.index] if trial.index < len(dead.trials) else None
        check(knew is not None and knew.key == trial.key, f"trial {trial.index} is not the one that was")
        assert knew is not None
        reports = [(r.resource, r.loss) for r in trial.reports]
        before = [(r.resource, r.loss) for r in knew.reports][: len(reports)]
        check(repr(reports) == repr(before), f"trial {trial.index} has other reports: {reports} for {before}")
    if whole:
        same = [(t.index, t.key, t.resource, len(t.reports)) for t in dead.trials]
        found = [(t.index, t.key, t.resource, len(t.reports)) for t in told.trials]
        check(same == found, f"acknowledged, and not told by the journal: {same} against {found}")


def table(tuner: Tuner) -> list[Any]:
    """What became of every trial, and the ranking, bit for bit."""

    def told(trial: Any) -> tuple[tuple[int, str], ...]:
        return tuple((report.resource, float(report.loss).hex()) for report in trial.accepted)

    rows = [(t.index, t.key, t.state, t.resource, t.bracket, t.parent, told(t)) for t in tuner.trials]
    return [*rows, tuple(tuner.ranking())]


def _values(tuner: Tuner, bad: float) -> None:
    """Each report is the objective's own value at that resource, told once."""
    for trial in tuner.trials:
        at = [report.resource for report in trial.reports]
        check(len(at) == len(set(at)), f"trial {trial.index} has a resource twice: {at}")
        for report in trial.reports:
            expected = loss_of(
                trial.config, report.resource, _memory(tuner, trial.index, report.resource), bad
            )
            same = report.loss == expected or (math.isnan(report.loss) and math.isnan(expected))
            where = f"trial {trial.index} at {report.resource}"
            check(same, f"{where} has {report.loss!r}; the objective says {expected!r}")


def _memory(tuner: Tuner, index: int, resource: int) -> int:
    """What a state holds at that resource of a trial, worked out along the trial's parents."""
    trial = tuner.trials[index]
    if resource == 0:
        return 0
    if trial.parent is not None and resource <= trial.inherited:
        return _memory(tuner, trial.parent, resource)
    return grown(_memory(tuner, index, resource - 1), trial.config, resource)


def _counts(tuner: Tuner, most: int | None) -> None:
    """The counts are those of the trials, and within the budget."""
    usage, status = tuner.usage, Status.of(tuner.trials)
    for name in ("started", "finished", "completed", "failed", "evaluations", "resource", "best_loss"):
        found, counted = getattr(usage, name), getattr(status, name)
        check(found == counted, f"usage says {name} {found}, the trials {counted}")
    check(usage.started <= (most or math.inf), "more trials than n_trials")
    left = [t.index for t in tuner.trials if t.state in (TrialState.RUNNING, TrialState.PENDING)]
    check(not left, f"trials {left} have not ended")


def _repeated(story: Any) -> None:
    """A unit is trained again only if a run that trained it broke off or overlapped, or an entry was lost."""
    lost, tuner = story.shelf.lost, story.tuner
    chains = {chain.key: chain for chain in (tuner.chain(t.index) for t in tuner.trials)}
    for (key, at), runs in story.work.units.items():
        if len(runs) < 2 or key not in chains or not _entries(chains[key]).isdisjoint(lost):
            continue
        free = [r for r in runs[:-1] if r.broken or r.orphan or r.ended > runs[-1].began]
        names = [f"{r.ask.label} {r.fate}" for r in runs]
        check(len(free) == len(runs) - 1, f"unit {at} of {key[:8]} trained {len(runs)} times, by {names}")


def _entries(chain: Chain) -> set[str]:
    """Keys of all that a chain may leave in the store."""
    return {key for at in range(R + 1) for key in (chain.state(at), chain.report(at))} | {chain.end()}
