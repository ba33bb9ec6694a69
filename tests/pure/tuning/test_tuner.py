"""The state machine of a search: budgets, concurrency, replay, and resuming at any event."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path

import pytest

from prefect_tune.samplers.contract import NoSuggestion
from prefect_tune.samplers.draw import Random
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.schedules.asynchronous.pasha import PASHA
from prefect_tune.schedules.asynchronous.pbt import PBT
from prefect_tune.schedules.asynchronous.wilcoxon import Wilcoxon
from prefect_tune.space import SearchSpace, choice
from prefect_tune.trials import TrialState
from prefect_tune.tuning.budget import Budget, Status
from prefect_tune.tuning.jobs import Fault, JobOutcome, Reported, TrialJob
from prefect_tune.tuning.keep import Keep
from prefect_tune.tuning.metrics import UnknownMetric
from prefect_tune.tuning.tuner import JournalMismatch, Tuner

sys.path.append(str(Path(__file__).parent))
from driving import Driver, R, answer, resumed, settings, table

SCHEDULES = {
    "fifo": FIFO(R),
    "stopping": ASHA(R),
    "promotion": ASHA(R, type="promotion"),
    "brackets": ASHA(R, type="promotion", brackets=3, rung_system_per_bracket=True),
    "pasha": PASHA(R),
    "wilcoxon": Wilcoxon(R, p_threshold=0.2),
    "pbt": PBT(R, population=8, interval=3),
    "pbt in step": PBT(R, population=8, interval=9, synch=True),
}
EACH = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))


@EACH
def test_every_trial_ends(schedule):
    """A search of 40 trials starts 40 configurations, and all of them end or wait for a promotion."""
    tuner = Driver(Tuner(settings(schedule=schedule))).run().tuner
    assert tuner.usage.started == (8 if isinstance(schedule, PBT) else 40)
    assert tuner.over
    assert {t.state for t in tuner.trials} <= {TrialState.STOPPED, TrialState.COMPLETED, TrialState.PAUSED}
    assert any(t.resource == R for t in tuner.trials)


@EACH
@pytest.mark.parametrize("workers", [1, 4, 64])
def test_no_more_trials_run_than_allowed(schedule, workers):
    """Jobs out at once never exceed the limit."""
    driver = Driver(Tuner(settings(schedule=schedule, max_concurrent=workers))).run()
    assert 1 <= driver.most <= workers


@EACH
def test_log_replays_to_the_same_state(schedule):
    """A tuner that is told the whole log stands where the first one does, and has nothing left to do."""
    asked = settings(schedule=schedule)
    first = Driver(Tuner(asked)).run()
    second = resumed(asked, first.events())
    assert table(second) == table(first.tuner)
    assert Driver(second).run().jobs == []


@EACH
def test_search_can_be_cut_at_any_event(schedule):
    """Whatever the event after which the process dies: each stretch is trained to its end exactly once."""
    asked = settings(schedule=schedule, budget=Budget(n_trials=12), max_concurrent=3)
    whole = Driver(Tuner(asked)).run()
    for cut in range(1, len(whole.log), 5):
        before = Driver(Tuner(asked), order=cut).run(events=cut)
        after = Driver(resumed(asked, before.events()), order=cut).run()
        tuner = after.tuner
        assert tuner.over
        assert tuner.usage.started == whole.tuner.usage.started
        finished = Counter(line["job"] for line in before.log + after.log if line["event"] == "returned")
        assert set(finished.values()) == {1}
        units = [(t.index, r.resource) for t in tuner.trials for r in t.reports]
        assert len(units) == len(set(units))


def test_same_order_gives_the_same_table_after_a_crash():
    """One worker, cut anywhere: the final table is that of the search that was not cut."""
    asked = settings(schedule=ASHA(R, type="promotion"), max_concurrent=1, budget=Budget(n_trials=15))
    whole = Driver(Tuner(asked)).run()
    for cut in range(1, len(whole.log)):
        before = Driver(Tuner(asked)).run(events=cut)
        after = Driver(resumed(asked, before.events())).run()
        assert table(after.tuner) == table(whole.tuner), cut


@EACH
def test_usage_is_what_the_trials_say(schedule):
    """The running counts equal a count from the trials (the oracle)."""
    tuner = Driver(Tuner(settings(schedule=schedule))).run().tuner
    status, oracle = tuner.usage.status(1.5, "min", tuner.trials), Status.of(tuner.trials, elapsed=1.5)
    for name in (
        "started",
        "finished",
        "completed",
        "failed",
        "evaluations",
        "resource",
        "best_loss",
        "elapsed",
    ):
        assert getattr(status, name) == getattr(oracle, name), name


def test_random_configurations_do_not_depend_on_workers():
    """Same seed, same configurations by index, with 1 and with 64 workers."""
    configs = [
        [t.config for t in Driver(Tuner(settings(max_concurrent=w)), order=w).run().tuner.trials]
        for w in (1, 64)
    ]
    assert configs[0] == configs[1]


def test_mode_max_with_the_negated_metric_decides_alike():
    """Negating the metric and flipping the mode changes no decision."""

    def negated(job: TrialJob) -> JobOutcome:
        outcome = answer(job)
        outcome.reports = [
            Reported(r.resource, {"loss": -r.metrics["loss"]}, r.seconds) for r in outcome.reports
        ]
        return outcome

    small = Driver(Tuner(settings())).run().tuner
    large = Driver(Tuner(settings(mode="max")), reply=negated).run().tuner
    assert table(small) == table(large)


def test_points_come_first_and_count():
    """Points to evaluate are the first trials and count towards n_trials."""
    points = [{"x": 0.5, "y": 0.25}, {"x": 0.125, "y": 1.0}]
    tuner = Driver(Tuner(settings(points=points, budget=Budget(n_trials=5)))).run().tuner
    assert [t.config for t in tuner.trials][:2] == points
    assert len(tuner.trials) == 5
    drawn = Driver(Tuner(settings(budget=Budget(n_trials=5)))).run().tuner
    assert [t.config for t in tuner.trials][2:] == [t.config for t in drawn.trials][2:]


def test_raised_budget_goes_on():
    """A search of 20 trials that is asked for 40 runs 20 more, and the first 20 keep their configurations."""
    first = Driver(Tuner(settings(budget=Budget(n_trials=20)))).run()
    asked = settings(budget=Budget(n_trials=40))
    assert asked.key() == settings(budget=Budget(n_trials=20)).key()
    second = Driver(resumed(asked, first.events())).run()
    assert len(second.tuner.trials) == 40
    assert [t.key for t in second.tuner.trials[:20]] == [t.key for t in first.tuner.trials]
    assert all(job.trial >= 20 or job.since >= 1 for job in second.jobs)  # nothing starts from nothing again


def test_promotions_go_on_after_the_last_start():
    """n_trials limits starts only: what passes is still promoted, up to the maximum."""
    tuner = Driver(Tuner(settings(schedule=ASHA(R, type="promotion")))).run().tuner
    last = tuner.trials[-1].index
    assert last == 39
    assert sum(t.state is TrialState.COMPLETED for t in tuner.trials) >= 1
    assert sum(t.state is TrialState.PAUSED for t in tuner.trials) >= 20


def test_budget_that_cancels_stops_running_trials():
    """After 30 evaluations nothing is started and running trials are stopped; what they still say is late."""
    tuner = Driver(Tuner(settings(budget=Budget(max_evaluations=30), schedule=FIFO(R)))).run().tuner
    assert tuner.halted is not None
    assert tuner.halted.reason == "max_evaluations"
    assert not [t for t in tuner.trials if not t.state.finished]
    counted = sum(not r.late for t in tuner.trials for r in t.reports)
    assert 30 <= counted <= 30 + R
    assert any(r.late for t in tuner.trials for r in t.reports)


def test_budget_that_drains_lets_running_trials_end():
    """After 3 completed trials nothing is started, and what runs goes on to its own end."""
    budget = Budget(max_trials_completed=3)
    driver = Driver(Tuner(settings(budget=budget, schedule=FIFO(R), max_concurrent=4))).run()
    assert driver.tuner.halted is not None
    assert {t.state for t in driver.tuner.trials} == {TrialState.COMPLETED}
    assert len(driver.tuner.trials) == 3 + 3  # four workers: three more ran when the third one ended


def test_stopped_search_goes_on_with_a_larger_budget():
    """A search that max_total_resource has stopped goes on when it is raised; stopped trials stay stopped."""
    small = settings(budget=Budget(max_resource=60))
    first = Driver(Tuner(small)).run()
    stopped = {t.index for t in first.tuner.trials if t.state is TrialState.STOPPED}
    same = resumed(small, first.events())
    assert Driver(same).run().jobs == []
    larger = Driver(resumed(settings(budget=Budget(max_resource=200)), first.events())).run()
    assert larger.tuner.usage.resource >= 200
    assert not [job for job in larger.jobs if job.trial in stopped]


def test_finite_space_ends_the_search():
    """A space of three configurations gives three trials, however many are asked for."""
    space = SearchSpace({"kind": choice(["a", "b", "c"])})
    reply = lambda job: answer(job, lambda config, r: ord(config["kind"]) / r)  # noqa: E731
    tuner = Driver(Tuner(settings(space=space)), reply=reply).run().tuner
    assert sorted(t.config["kind"] for t in tuner.trials) == ["a", "b", "c"]
    assert tuner.exhausted


def test_late_and_unknown_outcomes_change_nothing():
    """An outcome that comes twice, or of a job nobody gave out, is passed over."""
    tuner = Tuner(settings(max_concurrent=2))
    tuner.draw()
    job = tuner.next()
    tuner.take(answer(job))
    before, log = table(tuner), len(tuner.log)
    assert tuner.take(answer(job)) == []
    assert tuner.take(JobOutcome(job=77, trial=0)) == []
    assert table(tuner) == before
    assert len(tuner.log) == log


def test_failed_job_is_tried_again_then_fails_its_trial():
    """max_failures=2: three attempts, from where the trial stood, then FAILED with the cause."""
    asked = settings(max_failures=2, max_concurrent=1, budget=Budget(n_trials=1), schedule=FIFO(R))
    fail = lambda job: JobOutcome(  # noqa: E731
        job=job.number, trial=job.trial, fault=Fault.RAISED, cause="ValueError: no", tail="trace"
    )
    driver = Driver(Tuner(asked), reply=fail).run()
    assert [job.attempt for job in driver.jobs] == [0, 1, 2]
    (trial,) = driver.tuner.trials
    assert (trial.state, trial.error, trial.failures) == (TrialState.FAILED, "ValueError: no", 3)


def test_reports_told_again_by_a_second_attempt_count_once():
    """A job reports 1 to 4 and fails; its second attempt tells them again and goes on: 27 in all."""

    def reply(job: TrialJob) -> JobOutcome:
        outcome = answer(job)
        if not job.attempt:
            outcome.reports, outcome.ended = outcome.reports[:4], False
            outcome.fault, outcome.cause = Fault.RAISED, "OSError: gone"
        return outcome

    asked = settings(max_failures=1, max_concurrent=1, budget=Budget(n_trials=1), schedule=FIFO(R))
    tuner = Driver(Tuner(asked), reply=reply).run().tuner
    assert tuner.trials[0].state is TrialState.COMPLETED
    assert [r.resource for r in tuner.trials[0].reports] == list(range(1, R + 1))
    assert (tuner.usage.evaluations, tuner.usage.resource) == (R, R)


def test_cumulative_costs_count_once():
    """Costs 2, 4, 6 of one trial are 6; a second call of the objective that says 2 again adds 2."""

    def reply(job: TrialJob) -> JobOutcome:
        outcome = answer(job, most=6)
        outcome.reports = [
            Reported(r.resource, r.metrics, r.seconds, 2.0 * (1 + (r.resource - 1) % 3))
            for r in outcome.reports
        ]
        return outcome

    asked = settings(budget=Budget(n_trials=1), schedule=FIFO(6), max_concurrent=1)
    tuner = Driver(Tuner(asked), reply=reply).run().tuner
    assert tuner.usage.cost == 12.0  # 6 for reports 1 to 3, 6 for 4 to 6
    assert tuner.trials[0].cost == 12.0


def test_fault_after_the_last_report_is_named():
    """A trial that is complete, and whose state could not be stored, says so; its value counts."""

    def reply(job: TrialJob) -> JobOutcome:
        outcome = answer(job)
        outcome.fault, outcome.cause, outcome.ended = Fault.RAISED, "TypeError: no state", False
        return outcome

    asked = settings(budget=Budget(n_trials=1), schedule=FIFO(R), max_concurrent=1)
    (trial,) = Driver(Tuner(asked), reply=reply).run().tuner.trials
    assert (trial.state, trial.error) == (TrialState.COMPLETED, "TypeError: no state")


def test_failed_trial_costs_that_trial_only():
    """One configuration raises at every try; the others are searched as if nothing had been."""

    def reply(job: TrialJob) -> JobOutcome:
        if job.trial == 5:
            return JobOutcome(job=job.number, trial=5, fault=Fault.CRASHED, cause="its process exited")
        return answer(job)

    tuner = Driver(Tuner(settings()), reply=reply).run().tuner
    assert [t.index for t in tuner.trials if t.state is TrialState.FAILED] == [5]
    assert len(tuner.trials) == 40


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_report_that_is_not_finite_fails_the_trial(type, value):
    """At a rung it fails the trial, which is never promoted."""
    reply = lambda job: answer(job, (lambda c, r: value) if job.trial == 2 else _finite)  # noqa: E731
    tuner = Driver(Tuner(settings(schedule=ASHA(R, type=type))), reply=reply).run().tuner
    trial = tuner.trials[2]
    assert trial.state is TrialState.FAILED
    assert trial.resource == 1
    assert tuner.usage.failed == 1


def _finite(config, resource):
    return config["x"] / resource


def test_unknown_metric_is_refused_at_the_first_report():
    """A metric that the first report lacks ends the search, with the names that are there."""
    tuner = Tuner(settings(metric="accuracy"))
    tuner.draw()
    job = tuner.next()
    outcome = JobOutcome(job=job.number, trial=0, reports=[Reported(1, {"acuracy": 1.0, "time": 2.0})])
    with pytest.raises(UnknownMetric, match=r"accuracy.*Did you mean 'acuracy'"):
        tuner.take(outcome)


def test_bare_number_gets_the_metric_s_name():
    """An objective that returns a number is judged by whatever the metric is called."""
    tuner = Tuner(settings(metric="rmse", schedule=FIFO(1)))
    tuner.draw()
    job = tuner.next()
    tuner.take(JobOutcome(job=job.number, trial=0, reports=[Reported(1, {"": 0.5})], ended=True))
    assert tuner.trials[0].last.metrics == {"rmse": 0.5}


def test_journal_of_other_rules_is_refused():
    """A log that says what the rules in force would not have decided is refused, with the next move."""
    first = Driver(Tuner(settings())).run()
    with pytest.raises(JournalMismatch, match="resume=False"):
        resumed(settings(schedule=ASHA(R, eta=2)), first.events())


def test_sampler_that_waits_is_not_taken_for_the_end():
    """A sampler that wants to see results first gets them, and the search goes on."""

    class Patient(Random):
        def suggest(self, question):
            waits = question.records and not question.records[-1].usable
            return NoSuggestion.WAIT if waits else Random().suggest(question)

    driver = Driver(Tuner(settings(sampler=Patient(), budget=Budget(n_trials=6)))).run()
    assert len(driver.tuner.trials) == 6


def test_states_that_nobody_needs_are_released_once():
    """num_to_keep=1: a trial keeps its latest state; what is released is not released again."""
    asked = settings(schedule=ASHA(R, type="promotion"), keep=Keep(num_to_keep=1))
    released: list[str] = []
    driver = Driver(Tuner(asked))
    take = driver.tuner.take
    driver.tuner.take = lambda outcome, elapsed=0.0: released.extend(take(outcome, elapsed))  # type: ignore
    driver.run()
    assert released
    assert len(released) == len(set(released))
    assert all(list(t.checkpoints) == [t.resource] for t in driver.tuner.trials if t.checkpoints)


def test_copies_start_from_their_donor_s_state():
    """A copy of population based training goes on at its donor's resource, with a chain of its own."""
    tuner = Driver(Tuner(settings(schedule=SCHEDULES["pbt"]))).run().tuner
    copies = [t for t in tuner.trials if t.parent is not None]
    assert copies
    for copy in copies:
        donor = tuner.trials[copy.parent]
        assert copy.inherited in {r.resource for r in donor.reports}
        assert all(r.resource > copy.inherited for r in copy.reports)
