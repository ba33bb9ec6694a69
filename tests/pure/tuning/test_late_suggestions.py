"""Suggestions that come after a worker was free: what may depend on that, and what may not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.limiter import Limited
from prefect_tune.schedules.asynchronous.pbt import PBT
from prefect_tune.schedules.asynchronous.plateau import TrialPlateau
from prefect_tune.trials import TrialState
from prefect_tune.tuning.tuner import Tuner

sys.path.append(str(Path(__file__).parent))
from driving import Driver, R, settings, table

STEP = PBT(R, population=5, interval=9, synch=True)
EACH = pytest.mark.parametrize(
    "schedule", [STEP, TrialPlateau(STEP, std=1e-6)], ids=["alone", "with a plateau"]
)


class Late(Tuner):
    """Is asked for a job first, and gets its suggestion only when it has none."""

    def draw(self) -> None:
        """Nothing yet."""

    def next(self, elapsed=0.0):
        job = super().next(elapsed)
        if job is None and not self.log:
            super().draw()
            job = super().next(elapsed)
        return job


@EACH
@pytest.mark.parametrize("workers", [1, 2])
def test_population_in_step_waits_until_it_is_whole(schedule, workers):
    """No member goes on before all have started, though a suggestion is late: the table is the same."""
    asked = settings(schedule=schedule, max_concurrent=workers)
    prompt, late = (Driver(kind(asked)).run() for kind in (Tuner, Late))
    assert table(late.tuner) == table(prompt.tuner)
    first = next(place for place, job in enumerate(late.jobs) if job.since >= STEP.interval)
    assert sum(job.since == 0 for job in late.jobs[:first]) == STEP.population


def test_sampler_that_wants_results_first_is_not_waited_for():
    """Five members, of whom the sampler allows two at a time: these two go on, and nobody waits for ever."""
    asked = settings(schedule=STEP, sampler=Limited(Random(), 2), max_concurrent=2)
    tuner = Driver(Tuner(asked)).run().tuner
    assert tuner.over
    assert any(trial.state is TrialState.COMPLETED for trial in tuner.trials)


def test_members_that_are_copied_over_end_behind_a_plateau_too():
    """The wrapper passes on who was copied over: such a member stops, and does not wait for a promotion."""
    tuner = Driver(Tuner(settings(schedule=TrialPlateau(STEP, std=1e-6)))).run().tuner
    assert not [trial.index for trial in tuner.trials if trial.state is TrialState.PAUSED]
    assert any("copied" in trial.reason for trial in tuner.trials)
