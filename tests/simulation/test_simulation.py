"""Searches under faults that a seed draws, in a world without a clock; and faulty drivers, which are caught.

More seeds: `make soak`. The drivers are the real ones; the cluster, the store and the objective are models.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
import soak

SEEDS = {"tune": 144, "race": 80, "grid": 100}


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """The drivers warn of what the faults do to them, and may."""
    caplog.set_level("CRITICAL")
    caplog.set_level("CRITICAL", logger="prefect.prefect_tune")


@pytest.mark.parametrize("kind", list(SEEDS))
def test_oracles_hold_under_every_seed(kind):
    """It ends, loses nothing that was acknowledged, repeats what was in flight at most, and finds the same.

    Searches in rounds and grids find bit for bit what the undisturbed search finds, and so do searches over
    an objective where nothing has changed the order of results.
    """
    met, failed = soak.seeds_of(kind, 0, SEEDS[kind])
    told = [f"seed {seed}: {why}\n    {soak.command(kind, seed)}" for kind, seed, why in failed]
    assert not failed, "\n".join(told)
    assert met["seeds"] == SEEDS[kind]
    assert min(met["kills"], met["dies"], met["late"], met["mute"]) > 10, dict(met)


@pytest.mark.parametrize("seed", [1750, 2130, 6680])
def test_end_of_what_was_given_up_for_lost_is_no_second_end(seed):
    """Found by `make soak`: such a batch was gone on from twice, and its calls were made twice."""
    met, failed = soak.seeds_of("race", seed, 1)
    assert not failed, failed[0]
    assert met["late"], dict(met)


def test_seed_tells_the_same_story_twice():
    """The trail of a seed is the same whenever it is told."""
    from sim_tune import Story, scenario_of

    for seed in (3, 17, 42):
        first, second = (Story(scenario_of(seed)).run() for _ in range(2))
        assert first.world.trail == second.world.trail
        assert first.shelf.disk == second.shelf.disk


# -- drivers with a fault ------------------------------------------------------------------------------


def _caught(story, seeds) -> Counter[str]:
    """Words of the oracles that did not hold over the seeds."""
    from sim_world import Broken

    found: Counter[str] = Counter()
    for seed in seeds:
        try:
            story(seed)
        except Broken as broken:
            found[str(broken)] += 1
    return found


def _tuned(**parts):
    """Runs the story of a seed by a process with other parts."""
    from sim_tune import Process, Story, scenario_of

    process = type("Faulty", (Process,), parts)
    return lambda seed: Story(scenario_of(seed), process).run()


def test_driver_that_acts_before_it_writes_is_caught():
    """A loop whose events reach the disk one step late: what it acted on is not in the journal."""
    from prefect_tune.flows.tuning.loop import Loop

    class Hasty(Loop):
        late: tuple = ()

        async def _write(self):
            events, self.tuner.log = self.tuner.log, []
            self.late, now = events, self.late
            self.tuner.log = list(now)
            await super()._write()

    found = _caught(_tuned(loop_class=Hasty), range(40))
    assert any("acknowledged, and not told by the journal" in text for text in found), found


def test_tuner_that_counts_a_result_twice_is_caught():
    """A tuner that takes in what was told again as if it were new."""
    from prefect_tune.tuning.tuner import Tuner

    class Forgetful(Tuner):
        def _report(self, trial, report):
            known, trial.reports = trial.reports, []
            try:
                return super()._report(trial, report)
            finally:
                trial.reports = known + trial.reports

    found = _caught(_tuned(tuner_class=Forgetful), range(30))
    assert any("has a resource twice" in text for text in found), found


def test_worker_that_goes_on_from_a_wrong_state_is_caught(monkeypatch):
    """States that are keyed without their resource: a trial goes on from where another one stood."""
    from prefect_tune.tuning.jobs import Chain

    monkeypatch.setattr(Chain, "state", lambda chain, resource: chain.report(10_000))
    found = _caught(_tuned(), range(20))
    assert any("two values under one key" in text or "the objective says" in text for text in found), found


def test_bracket_that_promotes_who_came_first_is_caught(monkeypatch):
    """A decider that looks at the order of arrival: the ranking depends on who was slow or killed."""
    import dataclasses

    from sim_fleet import NONE
    from sim_race import Story, scenario_of
    from sim_world import check

    from prefect_tune.flows.adaptive.race import RaceRunner
    from prefect_tune.schedules import ladder

    came: dict[float, int] = {}

    class Noting(RaceRunner):
        def absorb(self, outcome):
            super().absorb(outcome)
            for record in outcome.records:
                came.setdefault(record.values["score"], len(came))

    def first_come(scores, count):
        return sorted(sorted(scores, key=lambda key: came.get(scores[key], 0))[:count])

    def story(seed):
        scenario = dataclasses.replace(scenario_of(seed), kind="halving", slots=3, bad=0.0, ties=False)
        tables = []
        for faults in (scenario.faults, NONE):
            came.clear()
            tables.append(Story(dataclasses.replace(scenario, faults=faults), Noting).run().table())
        check(tables[0] == tables[1], "another ranking")

    seeds = range(6)
    assert not _caught(story, seeds)  # looking on changes nothing
    monkeypatch.setattr(ladder, "_promoted", first_come)
    assert _caught(story, seeds)
