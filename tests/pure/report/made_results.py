"""Made-up results of searches over an objective, for the tests of their displays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prefect_tune.trials import TrialState
from prefect_tune.tuning.cost import TuneCost
from prefect_tune.tuning.result import TuneResult
from prefect_tune.tuning.trial import Trial, TrialReport

NAN = float("nan")
NASTY = "a|b `c`\n# e <script>alert(1)</script> [x](y) $z$ \x1b[31mred"
COST = TuneCost(
    trained=213, known=67, task_runs=83, seconds_trained=40.0, seconds_suggesting=1.2, suggestions=60,
    seconds_active=31.0, wall_seconds=25.0, slots=2,
)  # fmt: skip


def a_trial(
    index: int, config: dict[str, Any], values: Sequence[float] | dict[int, float], **fields: Any
) -> Trial:
    """A trial that reported these losses, one at each resource from 1 on, or at the resources given."""
    reported = values if isinstance(values, dict) else dict(enumerate(values, 1))
    name, sign = fields.pop("metric", "loss"), -1 if fields.pop("mode", "min") == "max" else 1
    trial = Trial(index, f"{index * 7919 % 10007:08x}", config, **fields)
    trial.reports = [TrialReport(at, loss, {name: sign * loss}, 0.5 * at) for at, loss in reported.items()]
    trial.resource = max(reported, default=0)
    return trial


def a_result(trials: Sequence[Trial], **fields: Any) -> TuneResult:
    """A result whose ranking is that of trials by how far they came, then by loss; failed ones last."""

    def order(trial: Trial) -> tuple:
        last = trial.last
        loss = last.loss if last and math.isfinite(last.loss) else math.inf
        return trial.state is TrialState.FAILED, -trial.resource, loss

    ranking = [trial.index for trial in sorted(trials, key=order) if trial.reports]
    defaults = {"metric": "loss", "levels": (1,), "name": "demo", "ranking": tuple(ranking), "cost": COST}
    return TuneResult(tuple(trials), **(defaults | fields))


def a_config(chance: np.random.Generator) -> dict[str, Any]:
    """One of a space with a logarithm, a flag, a conditional branch and a constant."""
    kind = str(chance.choice(["mlp", "cnn", "transformer encoder"]))
    extra = (
        {"width": int(chance.integers(8, 257))} if kind == "mlp" else {"depth": int(chance.integers(1, 7))}
    )
    return {
        "lr": float(10 ** chance.uniform(-5, 0)),
        "batch": int(2 ** chance.integers(3, 10)),
        "dropout": float(chance.uniform(0, 0.6)),
        "warm": bool(chance.integers(2)),
        "net": {"kind": kind, **extra},
        "epochs": 27,
    }


def halved(
    n: int,
    *,
    mode: str = "min",
    change: Callable[[int, list[float]], list[float]] = lambda index, losses: losses,
    failing: int = 11,
    running: bool = False,
) -> TuneResult:
    """An asynchronous halving of `n` trials with rungs 1, 3, 9, 27; every eleventh fails."""
    chance, trials, levels = np.random.default_rng(0), [], (1, 3, 9, 27)
    for index in range(n):
        config = a_config(chance)
        loss = abs(math.log10(config["lr"]) + 2.5) / 4 + 0.3 * config["dropout"]
        top = levels[sum(bool(chance.random() < (0.75 if loss < 0.3 else 0.33)) for _ in range(3))]
        failed = index % failing == failing - 1
        state = TrialState.COMPLETED if top == 27 else TrialState.PAUSED if running else TrialState.STOPPED
        if running and index >= n - 3:
            state = TrialState.RUNNING
        trial = a_trial(
            index, config, change(index, [loss + 1 / (at + 0.5) for at in range(1, top + 1)]), metric="score",
            mode=mode, state=TrialState.FAILED if failed else state, seconds=0.5 * top,
        )  # fmt: skip
        if failed:
            trial.error, trial.trace = f"ValueError: row {index} is [broken] | bad", f"Traceback\n  {NASTY}"
        trials.append(trial)
    return a_result(trials, metric="score", mode=mode, levels=levels, max_resource=27)


def plain(n: int, **more: Callable[[int], Any]) -> TuneResult:
    """Trials of a function that returns a number."""
    chance, trials = np.random.default_rng(1), []
    for index in range(n):
        config = a_config(chance) | {name: make(index) for name, make in more.items()}
        loss = (math.log10(config["lr"]) + 2) ** 2
        trials.append(a_trial(index, config, [loss], state=TrialState.COMPLETED))
    return a_result(trials, stopped_by="max_time" if n % 2 else "")


def failed(n: int) -> list[Trial]:
    """Trials that never reported."""
    return [
        a_trial(i, {"x": i}, [], state=TrialState.FAILED, error=f"ValueError: {NASTY} {i}") for i in range(n)
    ]


def astray(index: int, losses: list[float]) -> list[float]:
    """Every ninth trial diverges, every fifth has reports that are not a number."""
    losses = [1e6 * loss for loss in losses] if index % 9 == 8 else losses
    return [NAN if index % 5 == 4 and at % 2 else loss for at, loss in enumerate(losses)]


RESULTS = {
    "nothing yet": a_result([], metric=None),
    "one waits": a_result([a_trial(0, {"x": 1.0}, [])], metric=None),
    "one trial": plain(1),
    "two equal": a_result([a_trial(i, {"x": 1.0 * i}, [0.5], state=TrialState.COMPLETED) for i in (0, 1)]),
    "all failed": a_result(failed(4), metric=None),
    "five halved": halved(5),
    "sixty halved": halved(60, mode="max"),
    "running": halved(40, running=True),
    "astray": halved(60, change=astray),
    "a function": plain(41),
    "odd names": plain(
        30, **{NASTY: lambda i: f"{NASTY}{i}", "trial": lambda i: i, "big": lambda i: 10**20 + i}
    ),
    "only infinite": a_result([a_trial(0, {"x": 1}, [math.inf]), a_trial(1, {"x": 2}, [NAN])]),
}  # fmt: skip
