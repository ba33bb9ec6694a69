"""The limit on trials under way (algorithm reference 5.7)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from prefect_tune.errors import UserError
from prefect_tune.samplers.contract import NoSuggestion
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.limiter import Limited
from prefect_tune.samplers.tpe import TPE
from prefect_tune.space import SearchSpace, randint, uniform

LINE = SearchSpace({"x": uniform(0, 1)})


@dataclass
class Spy:
    """Keeps what it is told and draws from the space."""

    startup: int = 4
    told: list = field(default_factory=list)

    def suggest(self, question):
        self.told = list(question.records)
        return question.space.draw(question.seed, question.index)

    def identity(self):
        return {"sampler": "spy"}


def trials(record, states, **fields):
    return [record(i, LINE.draw(0, i), state, **fields) for i, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "waits"),
    [
        ([], False),
        (["running"], False),
        (["running", "running"], True),
        (["running", "pending"], True),
        (["running", "paused", "paused"], False),
        (["running", "completed", "failed", "stopped"], False),
        (["completed", "running", "failed", "running"], True),
    ],
)
def test_running_and_handed_out_trials_count_paused_ones_do_not(question, record, states, waits):
    """At the limit of two the answer is WAIT, until one ends or pauses; a retry runs, so it counts."""
    answer = Limited(Random(), 2).suggest(question(LINE, trials(record, states)))
    assert (answer is NoSuggestion.WAIT) == waits


def test_otherwise_the_samplers_own_answer_comes(question, record):
    """Exhaustion included, with every record told as it is."""
    spy = Spy()
    records = trials(record, ["running", "completed"], losses={1: 0.5})
    assert Limited(spy, 2).suggest(question(LINE, records)) == LINE.draw(0, 2)
    assert spy.told == records
    one = SearchSpace({"d": randint(1, 1)})
    used = [record(0, {"d": 1}, "completed", final=0.0)]
    assert Limited(Random(), 2).suggest(question(one, used)) is NoSuggestion.EXHAUSTED


def test_in_batches_results_are_withheld_until_the_batch_has_ended(question, record):
    """Trial 2 of a batch of three sees the other two as running, whatever has become of them."""
    spy = Spy()
    records = [
        record(0, LINE.draw(0, 0), "completed", losses={1: 1.0}, final=1.0),
        record(1, LINE.draw(0, 1), "failed"),
    ]
    Limited(spy, 3, batch=True).suggest(question(LINE, records, levels=(1, 3)))
    assert spy.told == [record(i, LINE.draw(0, i), "running", pending=(1,)) for i in (0, 1)]


def test_a_batch_begins_when_the_one_before_has_ended(question, record):
    """Two of three have ended: still waiting. All three have: their results come together, by index."""
    spy = Spy()
    sampler = Limited(spy, 3, batch=True)
    ends = [record(i, LINE.draw(0, i), "completed", losses={1: 1.0}, final=1.0) for i in (2, 0)]
    straggler = record(1, LINE.draw(0, 1), "running", pending=(1,))
    assert sampler.suggest(question(LINE, [*ends, straggler])) is NoSuggestion.WAIT
    last = record(1, LINE.draw(0, 1), "stopped", losses={1: 2.0})
    assert sampler.suggest(question(LINE, [*ends, last])) == LINE.draw(0, 3)
    assert [(item.index, item.losses) for item in spy.told] == [(0, {1: 1.0}), (1, {1: 2.0}), (2, {1: 1.0})]


def test_a_paused_trial_does_not_hold_up_the_next_batch(question, record):
    """It waits for a promotion that may never come."""
    records = trials(record, ["paused", "completed"], losses={1: 1.0})
    assert Limited(Spy(), 2, batch=True).suggest(question(LINE, records)) == LINE.draw(0, 2)


def test_never_more_than_the_limit_under_way(question, record):
    """Any order of ends, both modes: the number of trials under way stays within the limit."""
    for batch in (False, True):
        states: list[str] = []
        for step in range(200):
            answer = Limited(Random(), 3, batch).suggest(question(LINE, trials(record, states)))
            if answer is NoSuggestion.WAIT:
                running = [i for i, state in enumerate(states) if state == "running"]
                states[running[(step * 7) % len(running)]] = ["completed", "failed", "paused"][step % 3]
            else:
                states.append("running")
            assert states.count("running") <= 3
        assert len(states) > 60


def test_settings_and_identity():
    """It takes the start of the sampler inside, and is told apart from it."""
    assert Limited(TPE(startup=7), 2).startup == 7
    assert Limited(TPE(), 2).identity() == {
        "sampler": "limited",
        "max_concurrent": 2,
        "batch": False,
        "of": TPE().identity(),
    }
    with pytest.raises(UserError, match="Limited: max_concurrent must be an int of at least 1, got 0"):
        Limited(TPE(), 0)
