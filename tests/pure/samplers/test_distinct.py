"""Random search and the rule that no configuration comes twice (algorithm reference 5.1)."""

from __future__ import annotations

import pytest

from prefect_tune.samplers.contract import NoSuggestion
from prefect_tune.samplers.distinct import REDRAWS, distinct, earlier, starting, suggest_seed
from prefect_tune.samplers.draw import Random
from prefect_tune.space import SearchSpace, choice, randint, uniform
from prefect_tune.trials import config_key, generator

FLOATS = SearchSpace({"x": uniform(0, 1), "y": uniform(0, 1)})
DICE = SearchSpace({"d": randint(1, 6)})


def test_random_draws_by_seed_and_index(question, ended):
    """The configuration is the space's draw of (seed, index), whatever the records say about other points."""
    records = [ended(i, FLOATS.draw(99, i), float(i)) for i in range(5)]
    for index in (0, 3, 5):
        assert Random().suggest(question(FLOATS, records, index, seed=7)) == FLOATS.draw(7, index)


def test_random_does_not_see_how_many_workers_there_are(question, record, ended):
    """Asked in order with results at hand, or all at once with everything under way: the same draws."""
    one_by_one, at_once = [], []
    for _ in range(8):
        one_by_one.append(
            Random().suggest(question(DICE, [ended(i, c, 0.0) for i, c in enumerate(one_by_one)]))
        )
        under_way = [record(i, c, "running") for i, c in enumerate(at_once)]
        at_once.append(Random().suggest(question(DICE, under_way)))
        if one_by_one[-1] is NoSuggestion.EXHAUSTED:
            break
    assert one_by_one == at_once


@pytest.mark.parametrize("state", ["failed", "completed", "running", "pending", "paused", "stopped"])
def test_a_repetition_is_drawn_again(question, record, state):
    """The t-th redraw is the draw with attempt t; the earlier trial's state does not matter."""
    taken = [record(i, FLOATS.draw(0, 4, i), state) for i in range(3)]
    assert Random().suggest(question(FLOATS, taken, 4)) == FLOATS.draw(0, 4, 3)


def test_only_lower_indices_count(question, record):
    """A trial of a higher or the same index forbids nothing: a retried question has its first answer."""
    later = [record(4, FLOATS.draw(0, 4), "running"), record(5, FLOATS.draw(0, 4, 1), "running")]
    assert Random().suggest(question(FLOATS, later, 4)) == FLOATS.draw(0, 4)


def test_equality_is_type_exact(question, record):
    """1, 1.0 and True are three configurations."""
    space = SearchSpace({"x": choice([1, 1.0, True, "1"])})
    used = [record(i, {"x": value}, "running") for i, value in enumerate([1, True, "1"])]
    value = Random().suggest(question(space, used))["x"]
    assert (value, type(value)) == (1.0, float)


def test_twenty_redraws_then_the_repetition_is_allowed(question, record):
    """21 draws in all; then a warning, and the last one comes back."""
    asked = []

    def draw(attempt):
        asked.append(attempt)
        return {"x": 0.5, "y": 0.5}

    with pytest.warns(UserWarning, match=r"trial 1: 20 redraws .* used again"):
        config = distinct(question(FLOATS, [record(0, {"x": 0.5, "y": 0.5}, "failed")]), draw)
    assert config == {"x": 0.5, "y": 0.5}
    assert asked == list(range(REDRAWS + 1)) == list(range(21))


@pytest.mark.filterwarnings("ignore:.*redraws:UserWarning")
def test_a_finite_space_is_exhausted_when_every_point_is_used(question, search):
    """The search ends by itself; failed points count as used."""
    records = search(Random(), DICE, lambda config: 0.0, 1000)
    assert {item.config["d"] for item in records} == set(range(1, 7))
    assert Random().suggest(question(DICE, records)) is NoSuggestion.EXHAUSTED


def test_a_space_without_leaves_has_one_configuration(question, search):
    """Constants alone: one trial, then exhausted."""
    space = SearchSpace({"epochs": 3})
    assert [item.config for item in search(Random(), space, lambda config: 0.0, 5)] == [{"epochs": 3}]


def test_start_counts_trials_that_have_ended_or_have_a_loss(question, record):
    """Failed and stopped trials count, running ones only with a loss; those of higher index never."""
    x = FLOATS.draw(0, 0)
    records = [
        record(0, x, "failed"),
        record(1, x, "running"),
        record(2, x, "running", losses={1: 0.5}),
        record(3, x, "paused", losses={1: 0.5}),
        record(4, x, "stopped"),
        record(5, x, "pending"),
        record(9, x, "completed", final=1.0),
    ]
    assert not starting(question(FLOATS, records, 6), 4)
    assert starting(question(FLOATS, records, 6), 5)
    assert not starting(question(FLOATS, records, 10), 5)


def test_earlier_sorts_by_index(question, record):
    """However the records come, they are looked at by rising index."""
    records = [record(i, {}, "running") for i in (3, 0, 7, 1)]
    assert [item.index for item in earlier(question(FLOATS, records, 7))] == [0, 1, 3]


def test_seed_of_a_suggestion_is_the_low_half_of_its_generators(question):
    """Equal to what the generator of ("suggest", index, t) is seeded with, cut to 32 bits."""
    seed = suggest_seed(question(FLOATS, index=5, seed=11), 2)
    assert 0 <= seed < 2**32
    assert seed == generator(11, "suggest", 5, 2).bit_generator.seed_seq.entropy % 2**32
    assert len({suggest_seed(question(FLOATS, index=i), t) for i in range(9) for t in range(9)}) == 81


def test_keys_are_remembered_by_content_not_by_object(question, record):
    """A configuration that was changed in place is another one."""
    config = {"x": 1.0, "y": 0.0}
    before = question(FLOATS, [record(0, config, "running")])
    assert distinct(before, lambda t: {"x": float(t + 1), "y": 0.0}) == {"x": 2.0, "y": 0.0}
    config["x"] = 2.0
    assert distinct(before, lambda t: {"x": float(t + 1), "y": 0.0}) == {"x": 1.0, "y": 0.0}
    assert config_key({"x": 1.0, "y": 0.0}) != config_key(config)
