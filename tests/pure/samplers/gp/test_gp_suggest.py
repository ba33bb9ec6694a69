"""The samplers GP and MOBSTER (algorithm reference 5.1, 5.4, 5.5): start, order of draws, levels, tables."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from prefect_tune.errors import UserError
from prefect_tune.samplers.contract import NoSuggestion
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.gp import GP, MOBSTER
from prefect_tune.samplers.gp import steps as steps_module
from prefect_tune.samplers.gp.caps import Observation
from prefect_tune.samplers.gp.evidence import Evidence
from prefect_tune.samplers.gp.mobster import level_with
from prefect_tune.samplers.gp.steps import View
from prefect_tune.space import SearchSpace, choice, loguniform, randint, uniform
from prefect_tune.trials import config_key, generator

LINE = SearchSpace({"x": uniform(0, 1)})
PLANE = SearchSpace({"x": uniform(0, 1), "lr": loguniform(1e-4, 1), "net": choice(["a", "b", "c"])})
LEVELS = (1, 3, 9)
BOTH = [GP, MOBSTER]


def loss(config):
    return (config["x"] - 0.3) ** 2 + 0.1 * (config["net"] == "b") + 0.01 * np.log(config["lr"]) ** 2


def history(record, count=14):
    """Trials of a plane in all states, with losses at the levels they reached."""
    records = []
    for index in range(count):
        config = PLANE.draw(1, index)
        reached = LEVELS[: 1 + index % 3]
        losses = {level: float(loss(config) + 1 / level) for level in reached}
        records.append(record(index, config, "stopped", losses=losses))
    records[2] = replace(records[2], state=record(0, {}, "completed").state, final=records[2].losses[9])
    records[5] = record(5, records[5].config, "failed")
    records[7] = record(7, records[7].config, "running", losses={1: records[7].losses[1]}, pending=(3,))
    records[9] = record(9, records[9].config, "running", pending=(1,))
    records[11] = record(11, records[11].config, "pending")
    return records


# The start


@pytest.mark.parametrize(("sampler", "startup"), [(GP, 3), (MOBSTER, 6)])
def test_the_start_is_drawn_from_the_space(question, ended, sampler, startup):
    """Until 3 (GP) or 6 (MOBSTER) trials are usable, the draws are those of random search."""
    assert sampler().startup == startup
    for usable in range(startup + 1):
        records = [ended(i, LINE.draw(0, i), float(i)) for i in range(usable)]
        drawn = sampler().suggest(question(LINE, records)) == Random().suggest(question(LINE, records))
        assert drawn == (usable < startup)


@pytest.mark.parametrize("sampler", BOTH)
def test_running_and_failed_trials(question, record, sampler):
    """Running trials do not end the start; failed ones do, but without any data the space is drawn from."""
    for state in ("running", "failed"):
        records = [record(i, LINE.draw(0, i), state) for i in range(10)]
        assert sampler().suggest(question(LINE, records)) == LINE.draw(0, 10)


# A function of the question


@pytest.mark.parametrize("sampler", BOTH)
def test_the_same_question_has_the_same_answer(question, record, sampler):
    """Neither the order of records, nor earlier questions, nor later trials change a suggestion."""
    records = history(record)
    asked = question(PLANE, records, levels=LEVELS)
    answer = sampler().suggest(asked)
    PLANE.check(answer)
    mixed = [*records, record(20, PLANE.draw(0, 99), "running", pending=(1,))]
    random.Random(0).shuffle(mixed)
    one = sampler()
    one.suggest(question(PLANE, records[:9], levels=LEVELS))
    assert one.suggest(replace(asked, records=mixed)) == answer
    assert one.suggest(replace(asked, seed=1)) != answer
    assert one.suggest(replace(asked, index=15)) != answer


@pytest.mark.parametrize("sampler", BOTH)
def test_one_generator_serves_restarts_fantasies_draws_and_thompson_in_this_order(
    question, record, sampler, monkeypatch
):
    """The generator of ("suggest", index, 0) is asked for normals, normals, uniforms, normals."""
    asked = []

    class Spy:
        def __init__(self, rng):
            self.rng = rng

        def standard_normal(self, size):
            asked.append(("normal", size))
            return self.rng.standard_normal(size)

        def random(self, size):
            asked.append(("uniform", size))
            return self.rng.random(size)

    def spying(seed, purpose, *parts):
        rng = generator(seed, purpose, *parts)
        if purpose != "suggest":
            return rng
        assert (seed, parts) == (0, (14, 0))
        return Spy(rng)

    monkeypatch.setattr(steps_module, "generator", spying)
    sampler().suggest(question(PLANE, history(record), levels=LEVELS))
    parameters = 5 + 3 + (3 if sampler is MOBSTER else 0)
    pending = 3 if sampler is MOBSTER else 2  # a trial that runs on has data; for GP that is all
    assert asked == [
        ("normal", parameters),
        ("normal", (pending, 20)),
        ("uniform", (250, 3)),
        ("normal", (250, 20)),
    ]


# No configuration twice


@pytest.mark.parametrize("sampler", BOTH)
def test_nothing_comes_twice_until_all_is_used(search, sampler):
    """A finite space is used up point by point, failed ones included, then it is exhausted."""
    space = SearchSpace({"a": randint(1, 4), "b": choice(["u", "v", "w"])})
    records = search(sampler(), space, lambda config: (config["a"] - 2) ** 2, 20)
    assert len(records) == 12
    assert len({config_key(item.config) for item in records}) == 12


@pytest.mark.parametrize("sampler", BOTH)
def test_failed_configurations_are_not_proposed_again(question, record, ended, sampler):
    """The last unused point is the answer even if the model would like a failed one."""
    space = SearchSpace({"a": randint(1, 9)})
    records = [ended(i, {"a": i + 1}, float(i)) for i in range(7)] + [record(7, {"a": 8}, "failed")]
    assert sampler().suggest(question(space, records)) == {"a": 9}


@pytest.mark.parametrize("sampler", BOTH)
def test_a_space_without_anything_to_model_is_drawn_from(question, ended, sampler):
    """Constants alone, or one single option, leave a model nothing: the point, then exhaustion."""
    space = SearchSpace({"a": choice(["only"]), "b": 3})
    assert sampler(startup=0).suggest(question(space)) == {"a": "only", "b": 3}
    records = [ended(0, {"a": "only", "b": 3}, 1.0)]
    assert sampler(startup=0).suggest(question(space, records)) is NoSuggestion.EXHAUSTED


@pytest.mark.parametrize("sampler", BOTH)
def test_the_model_can_learn_where_trials_fail(question, record, sampler):
    """With `worst`, the side where all trials have failed is left; without, the model does not know of it."""
    records = [
        record(i, {"x": x}, "stopped", losses={1: 1.0 - x}) for i, x in enumerate(np.linspace(0, 0.4, 6))
    ]
    records += [record(6 + i, {"x": x}, "failed") for i, x in enumerate(np.linspace(0.5, 1, 6))]
    asked = question(LINE, records)
    assert sampler(failed="worst").suggest(asked)["x"] < 0.5 < sampler(failed="out").suggest(asked)["x"]


@pytest.mark.parametrize("sampler", BOTH)
def test_levels_count_losses_not_failures(question, record, sampler):
    """Where all trials have failed there is no model, whatever they count as."""
    records = [record(i, LINE.draw(0, i), "failed") for i in range(10)]
    assert sampler(failed="worst").suggest(question(LINE, records)) == LINE.draw(0, 10)
    evidence = Evidence([Observation(i, 3, float("inf")) for i in range(5)] + [Observation(5, 1, 1.0)], [])
    assert level_with(evidence, LEVELS, 3) == 1


class LeftHalf(SearchSpace):
    """A line whose right half is forbidden, as the rules of a foreign space may say."""

    def allows(self, config):
        return config["x"] < 0.5


def test_forbidden_configurations_are_not_proposed(search):
    """Neither drawn nor reached by the local search, though the best lies among them."""
    records = search(GP(), LeftHalf({"x": uniform(0, 1)}), lambda config: (config["x"] - 0.7) ** 2, 12)
    assert max(item.config["x"] for item in records) < 0.5


# Listed candidates


@pytest.mark.parametrize("sampler", BOTH)
def test_only_listed_configurations_are_proposed(search, sampler):
    """Every row of a table comes once, as the object it is, from the start on; then it is exhausted."""
    table = [PLANE.draw(5, row) for row in range(25)]
    records = search(sampler(candidates=table), PLANE, loss, 40)
    assert sorted(map(id, table)) == sorted(id(item.config) for item in records)


def test_a_table_is_searched_better_than_by_chance(search):
    """The best of 200 rows is found within 40 trials in each of five seeds; by chance in one of five."""
    table = [PLANE.draw(5, row) for row in range(200)]
    best = min(map(loss, table))
    for seed in range(5):
        records = search(GP(candidates=table), PLANE, loss, 40, seed=seed, goal=best)
        assert records[-1].final == best


def test_candidates_compare_the_whole_list(question, ended):
    """The answer is the unused row with the largest expected improvement, whatever the list's order."""
    table = [{"x": x / 50} for x in range(51)]
    records = [
        ended(i, table[row], (table[row]["x"] - 0.62) ** 2) for i, row in enumerate((0, 20, 28, 40, 50))
    ]
    answer = GP(candidates=table).suggest(question(LINE, records))
    assert answer == {"x": pytest.approx(0.62, abs=0.05)}
    assert GP(candidates=table[::-1]).suggest(question(LINE, records)) == answer


# Levels


def seen(**counts):
    """Observations: so many at each level."""
    return Evidence(
        [Observation(i, int(level[1:]), 1.0) for level, n in counts.items() for i in range(n)], []
    )


@pytest.mark.parametrize(
    ("evidence", "level"),
    [
        (seen(r1=9, r3=3, r9=2), 3),
        (seen(r1=9, r3=4, r9=3), 9),
        (seen(r1=3), 1),
        (seen(r1=2, r3=1), 1),
        (seen(r3=2, r9=1), 3),
        (seen(), 1),
        (seen(r1=3, r2=5), 1),  # 2 is no level of the schedule
    ],
)
def test_the_level_of_comparison(evidence, level):
    """The largest level with three losses, the maximum included; else the smallest with any."""
    assert level_with(evidence, LEVELS, 3) == level


def test_the_level_may_be_asked_for(question):
    """`first` and `final` are fixed; `dim` asks for as many losses as the cube has dimensions (here 5)."""
    asked, evidence = question(PLANE, levels=LEVELS), seen(r1=9, r3=5, r9=4)
    levels = [
        MOBSTER(resource="first").level(asked, evidence),
        MOBSTER(resource="final").level(asked, evidence),
        MOBSTER().level(asked, evidence),
        MOBSTER(threshold="dim").level(asked, evidence),
        MOBSTER(threshold=6).level(asked, evidence),
    ]
    assert levels == [1, 9, 9, 3, 1]


def test_incumbents_are_looked_for_at_the_level_alone():
    """Trials with a loss or a pending mark there; all of them where there is none."""
    evidence = Evidence(
        [Observation(0, 1, 1.0), Observation(0, 3, 1.0), Observation(1, 1, 1.0)], [(1, 3), (2, 1)]
    )
    assert View(evidence, 3, 9).known == [0, 1]
    assert View(evidence, 1, 9).known == [0, 1, 2]
    assert View(evidence, 9, 9).known == [0, 1, 2]
    assert View(evidence, None, 9).known == [0, 1, 2]
    assert View(evidence, 3, 9).position(3) == pytest.approx(2.5 / 9)


def test_curves_lead_where_first_losses_are_equal(question, record):
    """What trials did at a higher level moves the next suggestion: MOBSTER goes where they ended low."""
    records = []
    for index in range(12):
        x = index / 11
        losses = {1: 1.0 + 0.001 * index, 3: 0.8 + (x - 0.75) ** 2}
        records.append(record(index, {"x": x}, "stopped", losses=losses))
    answer = MOBSTER().suggest(question(LINE, records, levels=LEVELS))
    assert answer["x"] == pytest.approx(0.75, abs=0.1)


# Data caps


@pytest.mark.parametrize("sampler", BOTH)
def test_the_cap_holds_and_depends_on_the_trial_alone(question, record, sampler, monkeypatch):
    """The model is fitted to `cap` observations, drawn with ("subsample", index)."""
    sizes = []
    original = steps_module.fit

    def spy(inputs, targets, rng):
        sizes.append(len(targets))
        return original(inputs, targets, rng)

    monkeypatch.setattr(steps_module, "fit", spy)
    asked = question(PLANE, history(record), levels=LEVELS)
    capped = sampler(cap=8)
    assert capped.suggest(asked) == capped.suggest(asked)
    assert sizes == [8, 8]


# Settings


@pytest.mark.parametrize("sampler", BOTH)
@pytest.mark.parametrize(
    "wrong",
    [
        {"startup": -1},
        {"startup": True},
        {"fantasies": 0},
        {"draws": 0},
        {"cap": 3},
        {"failed": "in"},
        {"candidates": []},
    ],
    ids=str,
)
def test_wrong_settings_are_refused(sampler, wrong):
    """A setting out of range is refused when the sampler is made, by its name."""
    with pytest.raises(UserError, match=next(iter(wrong))):
        sampler(**wrong)


@pytest.mark.parametrize("wrong", [{"resource": "last"}, {"threshold": 0}, {"threshold": "all"}], ids=str)
def test_wrong_levels_are_refused(wrong):
    """So are an unknown resource and a threshold below one."""
    with pytest.raises(UserError, match=next(iter(wrong))):
        MOBSTER(**wrong)


def test_identities_tell_settings_apart():
    """Every setting counts; the name stands under `sampler`; all of it is JSON."""
    table = [{"x": 0.5}, {"x": 0.25}]
    samplers = [GP(), GP(startup=4), GP(cap=99), GP(pull_in=False), GP(candidates=table), MOBSTER()]
    samplers += [MOBSTER(resource="final"), MOBSTER(threshold="dim"), MOBSTER(candidates=table[:1])]
    shown = [json.dumps(sampler.identity()) for sampler in samplers]
    assert len(set(shown)) == len(samplers)
    assert GP().identity()["sampler"] == "gp"
    assert MOBSTER().identity()["sampler"] == "mobster"
    assert GP(candidates=table) == GP(candidates=tuple(table))
