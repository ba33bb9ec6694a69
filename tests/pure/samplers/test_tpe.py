"""TPE through Optuna (algorithm reference 5.1, 5.2): start, determinism, what leads, silence."""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import warnings

import optuna
import pytest

from prefect_tune.errors import UserError
from prefect_tune.samplers import study as study_module
from prefect_tune.samplers.contract import NoSuggestion
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.qmc import Sobol
from prefect_tune.samplers.tpe import TPE
from prefect_tune.space import SearchSpace, choice, loguniform, normal, randint, uniform

LINE = SearchSpace({"x": uniform(0, 1)})
DEFINITION = {
    "net": choice(
        [{"kind": "mlp", "w": randint(1, 9), "n": normal(0, 1)}, {"kind": "cnn", "k": uniform(0, 1)}]
    ),
    "lr": loguniform(1e-4, 1),
}
NESTED = SearchSpace(DEFINITION)


def loss(config):
    net = config["net"]
    return abs(net["w"] - 4) + config["lr"] if net["kind"] == "mlp" else 3 + net["k"]


def history(ended, record, count=30):
    """Completed, failed, running and stopped trials of a nested space."""
    configs = [NESTED.draw(1, i) for i in range(count)]
    records = [ended(i, config, loss(config)) for i, config in enumerate(configs)]
    records[3] = record(3, configs[3], "failed")
    records[5] = record(5, configs[5], "running", pending=(1,))
    records[7] = record(7, configs[7], "stopped", losses={1: 9.0})
    return records


# The start


@pytest.mark.parametrize("usable", [0, 9, 10])
def test_the_start_is_drawn_from_the_space(question, ended, usable):
    """Ten usable trials, by default; until then the same draws as random search, never Optuna's."""
    records = [ended(i, LINE.draw(0, i), float(i)) for i in range(usable)]
    drawn = TPE().suggest(question(LINE, records)) == Random().suggest(question(LINE, records))
    assert drawn == (usable < 10)


def test_running_trials_do_not_end_the_start(question, record, ended):
    """With more workers than start-up trials the first ones are all random; then the model takes over."""
    under_way = [record(i, LINE.draw(0, i), "running", pending=(1,)) for i in range(40)]
    assert TPE().suggest(question(LINE, under_way)) == LINE.draw(0, 40)
    with_losses = [record(i, LINE.draw(0, i), "running", losses={1: float(i)}) for i in range(10)]
    assert TPE().suggest(question(LINE, with_losses + under_way[10:])) != LINE.draw(0, 40)


def test_the_start_can_be_a_design(question):
    """`initial=Sobol()` starts with a quasi-random design."""
    assert TPE(initial=Sobol()).suggest(question(LINE)) == Sobol().suggest(question(LINE))


def test_failures_alone_are_no_evidence_and_no_obstacle(question, record):
    """Ten failed trials end the start; the model then has nothing but its prior."""
    failed = [record(i, NESTED.draw(0, i), "failed") for i in range(10)]
    NESTED.check(TPE().suggest(question(NESTED, failed)))


# A pure function of the question


def test_asked_again_it_answers_the_same(question, ended, record):
    """A fresh sampler for every question: nothing is left over from other questions."""
    asked = question(NESTED, history(ended, record))
    first = TPE().suggest(asked)
    sampler = TPE()
    sampler.suggest(question(NESTED, history(ended, record, 20)))
    sampler.suggest(question(NESTED, history(ended, record), seed=5))
    assert sampler.suggest(asked) == first == TPE().suggest(asked)


def test_the_order_in_which_records_come_does_not_matter(question, ended, record):
    """Only their indices do."""
    records = history(ended, record)
    expected = TPE().suggest(question(NESTED, records))
    assert TPE().suggest(question(NESTED, records[::-1])) == expected
    assert TPE().suggest(question(NESTED, records[::2] + records[1::2])) == expected


def test_records_of_later_trials_do_not_matter(question, ended, record):
    """A question about trial 20 sees trials 0 to 19, however far the others are."""
    records = history(ended, record)
    assert TPE().suggest(question(NESTED, records, 20)) == TPE().suggest(question(NESTED, records[:20]))


def test_seed_and_index_and_losses_matter(question, ended, record):
    """Each of them changes the suggestion."""
    records = history(ended, record)
    other = [*records[:-1], ended(29, records[29].config, -50.0)]
    answers = [
        TPE().suggest(question(NESTED, records)),
        TPE().suggest(question(NESTED, records, seed=1)),
        TPE().suggest(question(NESTED, records, 29)),
        TPE().suggest(question(NESTED, other)),
    ]
    assert len({json.dumps(answer) for answer in answers}) == 4


FRESH = """
import json, sys
from prefect_tune.samplers.contract import Question
from prefect_tune.samplers.tpe import TPE
from prefect_tune.space import SearchSpace, choice, loguniform, normal, randint, uniform
from prefect_tune.trials import TrialRecord, TrialState
space = SearchSpace({
    "lr": loguniform(1e-4, 1),
    "net": choice([
        {"n": normal(0, 1), "w": randint(1, 9), "kind": "mlp"},
        {"kind": "cnn", "k": uniform(0, 1)},
    ]),
})
records = [
    TrialRecord(i, config, TrialState(state), {int(k): v for k, v in losses.items()}, tuple(pending), final)
    for i, config, state, losses, pending, final in json.load(sys.stdin)
]
print(json.dumps([TPE().suggest(Question(30, space, records, (1,), seed)) for seed in range(3)]))
"""


def test_a_fresh_process_answers_the_same(question, ended, record):
    """A resumed search goes on as if it had not been interrupted; what is remembered changes nothing."""
    records = history(ended, record)
    told = [[r.index, r.config, str(r.state), r.losses, r.pending, r.final] for r in records]
    for seed in range(3):  # warm up whatever is remembered
        TPE().suggest(question(NESTED, history(ended, record), seed=seed))
    here = [TPE().suggest(question(NESTED, records, seed=seed)) for seed in range(3)]
    done = subprocess.run(
        [sys.executable, "-c", FRESH], input=json.dumps(told), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == here
    assert done.stderr == ""


def test_remembered_parameters_change_nothing(question, ended, record, monkeypatch):
    """With the memory emptied before every question, and with it warm: the same answers."""
    warm = [TPE().suggest(question(NESTED, history(ended, record)[:i])) for i in range(12, 30)]
    cold = []
    for i in range(12, 30):
        monkeypatch.setattr(study_module, "_VALUES", {})
        cold.append(TPE().suggest(question(NESTED, history(ended, record)[:i])))
    assert warm == cold


def test_a_configuration_changed_in_place_is_read_anew(question, ended):
    """What is remembered is known by content: the same dict with other values is another configuration."""
    records = [ended(i, LINE.draw(0, i), float(i)) for i in range(20)]
    TPE().suggest(question(LINE, records))
    for item in records:
        item.config["x"] = 1 - item.config["x"]
    copies = [ended(i, {"x": 1 - LINE.draw(0, i)["x"]}, float(i)) for i in range(20)]
    assert TPE().suggest(question(LINE, records)) == TPE().suggest(question(LINE, copies))


# What leads


def near(sampler, question, records, place):
    """Whether the median suggestion over 15 seeds lies within .15 of a place."""
    answers = [sampler.suggest(question(LINE, records, seed=seed))["x"] for seed in range(15)]
    return abs(statistics.median(answers) - place) < 0.15


def spread(count, start=0.0):
    return [start + (i + 0.5) / count * (1 - start) for i in range(count)]


def test_without_completed_trials_the_deepest_stopped_ones_lead(question, record):
    """A worse loss at level 9 leads over a better one at level 1: levels do not compare."""
    records = [
        record(i, {"x": x}, "stopped", losses={1: x} if x < 0.85 else {1: x, 9: 10 + x})
        for i, x in enumerate(spread(20))
    ]
    assert near(TPE(), question, records, 0.9)


def test_completed_trials_lead_over_stopped_ones(question, record):
    """Even over stopped trials with smaller losses at their levels."""
    records = [
        record(i, {"x": x}, "stopped", losses={1: 0.0})
        if x < 0.85
        else record(i, {"x": x}, "completed", losses={1: 5.0, 9: 5.0}, final=5.0)
        for i, x in enumerate(spread(20))
    ]
    assert near(TPE(), question, records, 0.9)


def test_a_running_trial_with_losses_is_evidence(question, record):
    """Its best rung leads; without a record it would count as bad."""
    records = [
        record(i, {"x": x}, "running", losses={1: x, 3: x} if x < 0.15 else {1: 1.0}, pending=(9,))
        for i, x in enumerate(spread(20))
    ]
    assert near(TPE(), question, records, 0.1)


def test_trials_under_way_count_as_bad(question, record, ended):
    """Many of them around the best place drive the suggestions away from it."""
    done = [ended(i, {"x": x}, abs(x - 0.5)) for i, x in enumerate(spread(20))]
    crowd = [record(20 + i, {"x": 0.42 + i / 250}, "running", pending=(1,)) for i in range(40)]

    def distance(records):
        answers = [TPE().suggest(question(LINE, records, 60, seed=seed))["x"] for seed in range(15)]
        return statistics.median(abs(answer - 0.5) for answer in answers)

    assert distance(done + crowd) > 2 * distance(done)


def test_conditional_leaves_are_modelled_in_their_branch(question, ended, record):
    """The branch with the better losses is proposed most of the time, its own leaf near its best value."""
    records = [
        ended(i, config, loss(config)) for i, config in enumerate(NESTED.draw(1, i) for i in range(60))
    ]
    answers = [TPE().suggest(question(NESTED, records, seed=seed))["net"] for seed in range(15)]
    chosen = [net["w"] for net in answers if net["kind"] == "mlp"]
    assert len(chosen) >= 12
    assert statistics.median(chosen) in (3, 4, 5)


# The rest of the contract


def test_a_finite_space_is_exhausted(search):
    """All 12 points once, then the end."""
    space = SearchSpace({"a": randint(1, 4), "b": choice(["x", "y", "z"])})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*redraws", UserWarning)
        records = search(TPE(startup=3), space, lambda config: config["a"], 500)
    assert len({(r.config["a"], r.config["b"]) for r in records}) == 12
    assert len(records) < 500


def test_single_values_need_no_model(question, ended):
    """A leaf with one value, beside one with many."""
    space = SearchSpace({"a": choice(["only"]), "b": uniform(2, 2), "x": uniform(0, 1)})
    records = [ended(i, space.draw(0, i), float(i)) for i in range(12)]
    config = TPE().suggest(question(space, records))
    assert (config["a"], config["b"]) == ("only", 2.0)


def test_a_list_of_dicts_is_a_choice_between_them(question, ended):
    """The root itself is a choice; it has no name of its own."""
    space = SearchSpace([{"a": randint(1, 9)}, {"b": uniform(0, 1)}])
    records = [ended(i, space.draw(0, i), float(i)) for i in range(15)]
    config = TPE().suggest(question(space, records))
    assert set(config) in ({"a"}, {"b"})


def test_identity_names_every_setting():
    """Two samplers with different settings are told apart; the form is plain data."""
    identities = [
        TPE().identity(),
        TPE(startup=5).identity(),
        TPE(candidates=9).identity(),
        TPE(fidelity="rung").identity(),
        TPE(fidelity="rung", min_losses=4).identity(),
        TPE(initial=Sobol()).identity(),
    ]
    assert len({json.dumps(item, sort_keys=True) for item in identities}) == 6
    assert TPE().identity()["sampler"] == "tpe"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"startup": -1}, "TPE: startup must be an int of at least 0, got -1"),
        ({"candidates": 0}, "TPE: candidates must be an int of at least 1, got 0"),
        ({"fidelity": "rungs"}, "TPE: fidelity must be one of None, 'rung', got 'rungs'"),
        ({"min_losses": 0}, "TPE: min_losses must be an int of at least 1, got 0"),
    ],
)
def test_settings_are_checked_when_made(settings, text):
    """Place, rule, value."""
    with pytest.raises(UserError, match=text):
        TPE(**settings)


def test_optuna_is_silent_and_the_users_own_is_not(question, ended, record, caplog, capfd):
    """No message and no warning of Optuna's during a suggestion; afterwards everything is as it was."""
    level = optuna.logging.get_verbosity()
    before = list(warnings.filters)
    optuna.logging.enable_propagation()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            TPE().suggest(question(NESTED, history(ended, record)))
        assert [item for item in caplog.records if item.name.startswith("optuna")] == []
        assert optuna.logging.get_verbosity() == level
        assert warnings.filters == before
        with caplog.at_level(logging.INFO, logger="optuna"):
            optuna.create_study()
        assert any("A new study created" in item.getMessage() for item in caplog.records)
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            optuna.samplers.TPESampler(multivariate=True, group=True)
    finally:
        optuna.logging.disable_propagation()
    assert "study created" not in capfd.readouterr().out


def test_the_space_used_up_is_told_before_optuna_is_asked(question, ended):
    """EXHAUSTED, not an error of the library."""
    space = SearchSpace({"a": randint(1, 2)})
    records = [ended(0, {"a": 1}, 0.0), ended(1, {"a": 2}, 1.0)]
    assert TPE(startup=1).suggest(question(space, records)) is NoSuggestion.EXHAUSTED
