"""Results: the best by every scope, tables, checkpoints, errors."""

from __future__ import annotations

import doctest
import importlib
import math
import pickle

import pytest

from prefect_tune.errors import UserError
from prefect_tune.trials import TrialState
from prefect_tune.tuning.frames import config_columns
from prefect_tune.tuning.result import NoResult, TuneResult
from prefect_tune.tuning.trial import Trial, TrialReport

S = TrialState


def trial(index, losses, state=S.COMPLETED, key=None, late=(), **fields):
    """A trial with reports of `loss` and `acc` = 1 - loss at 1, 2, 3, …, and late ones after them."""
    values = [*losses, *late]
    reports = [
        TrialReport(at, loss, {"loss": loss, "acc": 1 - loss}, elapsed=at / 2, late=at > len(losses))
        for at, loss in enumerate(values, start=1)
    ]
    fields = {"config": {"lr": index / 10}, "resource": len(losses)} | fields
    return Trial(index, key or f"{index:03d}", state=state, reports=reports, **fields)


# Chosen so that each scope has another answer; all numbers are exact in floats.
CURVES = {
    0: [0.5, 0.5, 0.5, 0.25],  # last .25
    1: [0.0625, 0.875, 0.875, 0.875],  # best .0625
    2: [0.375, 0.375, 0.375, 0.375],  # average .375
    3: [0.125],  # last .125, average .125, never at 4
}


def result(**fields):
    trials = tuple(trial(index, losses) for index, losses in CURVES.items())
    return TuneResult(trials, **({"metric": "loss", "max_resource": 4} | fields))


@pytest.mark.parametrize(
    ("scope", "winner", "value", "at"),
    [
        ("last", 3, 0.125, 1),
        ("best", 1, 0.0625, 1),
        ("all", 1, 0.0625, 1),
        ("avg", 3, 0.125, 1),
        ("last-5-avg", 3, 0.125, 1),
        ("final", 0, 0.25, 4),
    ],
)
def test_best_by_scope(scope, winner, value, at):
    """The value of each trial by the scope, then the smallest."""
    best = result().best(scope=scope)
    assert (best.trial.index, best.value, best.report.resource) == (winner, value, at)
    assert best.config == {"lr": winner / 10}


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("last", 12.0),
        ("best", 1.0),
        ("avg", 6.5),  # of 1 … 12
        ("last-5-avg", 10.0),  # of 8 … 12
        ("last-10-avg", 7.5),  # of 3 … 12
        ("final", 12.0),
    ],
)
def test_averages(scope, value):
    """Of all reports, or of the last ones; of all there are where there are fewer."""
    twelve = TuneResult((trial(0, [float(v) for v in range(1, 13)]),), "loss", max_resource=12)
    assert twelve.best(scope=scope).value == value
    two = TuneResult((trial(0, [1.0, 2.0]),), "loss")
    assert two.best(scope="last-10-avg").value == two.best(scope="avg").value == 1.5
    assert two.best(scope="avg").report.resource == 2


def test_mode_and_metric():
    """Another metric and mode than the search's own; the mode is the search's if only a metric is named."""
    found = result()
    assert found.best("acc", "max").trial.index == 3
    assert found.best("acc", "max").value == 0.875
    assert found.best("acc").trial.index == 1  # min, as the search
    assert found.best(mode="max").trial.index == 1
    assert result(mode="max").best().trial.index == 1
    assert (found.best_value, found.best_loss, found.best_config) == (0.125, 0.125, {"lr": 0.3})
    large = result(metric="acc", mode="max")
    assert (large.best_value, large.best_loss) == (0.875, -0.875)


def test_negating_the_metric_and_the_mode_changes_nothing():
    """The same winner under every scope."""
    small = result()
    large = TuneResult(
        tuple(trial(index, [1 - loss for loss in losses]) for index, losses in CURVES.items()),
        "loss",
        "max",
        4,
    )
    for scope in ("last", "best", "avg", "last-5-avg", "last-10-avg", "final"):
        assert small.best(scope=scope).trial.index == large.best(scope=scope).trial.index


def test_ties_go_to_the_smaller_key():
    """Not to the earlier trial."""
    found = TuneResult((trial(0, [0.5], key="b"), trial(1, [0.5], key="a")), "loss")
    assert found.best().trial.index == 1
    same = TuneResult((trial(0, [0.5], key="a"), trial(1, [0.5], key="a")), "loss")
    assert same.best().trial.index == 0


def test_trials_of_every_state_may_be_best():
    """What a stopped or failed trial has reported counts as well; late reports do not."""
    for state in S:
        found = TuneResult((trial(0, [0.5]), trial(1, [0.25], state, late=[0.0])), "loss")
        assert (found.best().trial.index, found.best().value) == (1, 0.25)


def test_values_that_are_not_finite():
    """They are left out, and trials with no other; unfiltered they rank last."""
    nan = math.nan
    found = TuneResult((trial(0, [0.5, nan]), trial(1, [nan]), trial(2, [-math.inf, 0.75])), "loss")
    assert (found.best().trial.index, found.best().value) == (0, 0.5)
    assert found.best(scope="best").trial.index == 0
    assert found.best(scope="avg").value == 0.5
    unfiltered = found.best(filter_nan_and_inf=False)
    assert (unfiltered.trial.index, unfiltered.value) == (2, 0.75)
    assert math.isnan(TuneResult((trial(0, [nan]),), "loss").best(filter_nan_and_inf=False).value)
    assert math.isnan(TuneResult((trial(0, [0.5, nan]),), "loss").best(None, None, "avg", False).value)


def test_final_without_a_maximum():
    """Then it is the end of trials that completed."""
    trials = (trial(0, [0.5, 0.25]), trial(1, [0.125], S.STOPPED))
    assert TuneResult(trials, "loss").best(scope="final").trial.index == 0


@pytest.mark.parametrize(
    ("found", "asked", "message"),
    [
        (TuneResult((), "loss"), {}, "metric 'loss': no trial has reported anything."),
        (TuneResult((trial(0, []),), "loss"), {}, "metric 'loss': no trial has reported anything."),
        (TuneResult((trial(0, [math.nan]),), "loss"), {}, "metric 'loss': no trial has a finite value."),
        (
            TuneResult((trial(0, [0.5]),), "loss", max_resource=9),
            {"scope": "final"},
            "metric 'loss': no trial has a finite value at the maximum (9).",
        ),
        (
            TuneResult((trial(0, [0.5]),), "loss"),
            {"metric": "los"},
            "metric 'los': no trial has reported it. Did you mean 'loss'? Reported: acc, loss.",
        ),
    ],
)
def test_nothing_left(found, asked, message):
    """An error that names the metric and why there is no best."""
    with pytest.raises(RuntimeError) as caught:
        found.best(**asked)
    assert isinstance(caught.value, NoResult)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("found", "asked", "message"),
    [
        (TuneResult(()), {}, "metric: the search knows none"),
        (result(), {"mode": "maximum"}, "mode: must be 'min' or 'max', got 'maximum'"),
        (result(), {"scope": "mean"}, "scope: must be one of last, best, all, avg"),
    ],
)
def test_wrong_questions(found, asked, message):
    """A ValueError each."""
    with pytest.raises(ValueError, match=message) as caught:
        found.best(**asked)
    assert isinstance(caught.value, UserError)


def test_the_answer_carries_the_trial():
    """Configuration, last metrics, metrics at the report that won, report table, checkpoints, error."""
    one = trial(0, [0.25, 0.75], S.FAILED, checkpoints={2: "late", 1: "early"}, error="KeyError: 'x'")
    best = TuneResult((one,), "loss").best(scope="best")
    assert best.metrics == {"loss": 0.75, "acc": 0.25}
    assert best.metrics_at_value == {"loss": 0.25, "acc": 0.75}
    assert (list(best.checkpoints), best.error) == ([1, 2], "KeyError: 'x'")
    table = best.dataframe()
    assert table["resource"].tolist() == [1, 2]
    assert table["loss"].tolist() == [0.25, 0.75]


def test_a_result_is_a_sequence_of_trials():
    """Length, iteration, indexing follow the trial index; failures are counted."""
    trials = (
        trial(0, [1.0]),
        trial(1, [], S.FAILED, error="ValueError: no"),
        trial(2, [], S.FAILED, reason="nan"),
    )
    found = TuneResult(trials, "loss", stopped_by="max_time")
    assert len(found) == 3
    assert [one.index for one in found] == [0, 1, 2]
    assert found[1] is trials[1]
    assert found[-1].index == 2
    assert found[1:] == trials[1:]
    assert found.num_errors == 2
    assert found.errors == {1: "ValueError: no", 2: "nan"}
    assert found.stopped_by == "max_time"


def test_a_result_travels_without_its_loader():
    """It pickles, whatever the loader is."""
    found = result(loader=lambda key: key)
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again.loader is None
    assert again.best().trial.index == 3


def test_load_best():
    """The checkpoint at the report that won, read by the loader that was given or is the search's own."""
    one = trial(0, [0.5, 0.25, 0.75], checkpoints={1: "a", 3: "c"})
    found = TuneResult((one,), "loss", loader=lambda key: f"state {key}")
    assert found.load_best() == "state c"
    assert found.load_best(str.upper) == "C"
    with pytest.raises(UserError, match="trial 0 has no checkpoint at 2, only at: 1, 3; nearest=True"):
        found.load_best(scope="best")
    assert found.load_best(scope="best", nearest=True) == "state a"
    one.checkpoints.pop(1)
    assert found.load_best(scope="best", nearest=True) == "state c"
    one.checkpoints.clear()
    with pytest.raises(UserError, match="only at: none"):
        found.load_best(nearest=True)
    one.checkpoints[3] = "c"
    with pytest.raises(UserError, match="load_best: this result names no store"):
        TuneResult((one,), "loss").load_best()


def test_names_of_ray():
    """The same methods under the names that users of Ray Tune know."""
    assert TuneResult.get_best_result is TuneResult.best
    assert TuneResult.get_dataframe is TuneResult.dataframe


def test_dataframe():
    """One row per trial, whatever its state: the last report's metrics, the configuration by path."""
    nested = {"lr": 0.1, "net": {"kind": "mlp", "width": 3}, "layers": [1, 2]}
    trials = (
        trial(0, [0.5, 0.25], config=nested, cost=1.5, seconds=3.0, attempts=2, bracket=1),
        trial(1, [], S.PENDING, config={"lr": 0.2, "net": {"kind": "cnn"}, "layers": []}),
        trial(2, [math.nan], S.FAILED, reason="non-finite", error="no", parent=0, config={"lr": 0.3}),
    )
    table = TuneResult(trials, "loss").dataframe()
    assert list(table.columns) == [
        "trial_id",
        "index",
        "status",
        "stop_reason",
        "bracket",
        "parent",
        "resource",
        "attempts",
        "seconds",
        "cost",
        "error",
        "loss",
        "acc",
        "config/layers",
        "config/lr",
        "config/net/kind",
        "config/net/width",
    ]
    assert table["trial_id"].tolist() == ["00000-000", "00001-001", "00002-002"]
    assert table["status"].tolist() == ["completed", "pending", "failed"]
    assert table["loss"].fillna(-1).tolist() == [0.25, -1, -1]
    assert table["config/net/width"].fillna(-1).tolist() == [3, -1, -1]
    assert table["config/layers"][0] == [1, 2]
    assert table["parent"].isna().tolist() == [True, True, False]
    assert table["stop_reason"][2] == "non-finite"
    assert len(TuneResult(()).dataframe()) == 0


def test_dataframe_filtered():
    """The metrics of each trial's best report by a metric; the search's mode if none is named."""
    table = result().dataframe("loss")
    assert table["loss"].tolist() == [0.25, 0.0625, 0.375, 0.125]
    assert result().dataframe("acc", "max")["loss"].tolist() == [0.25, 0.0625, 0.375, 0.125]
    assert result().dataframe(filter_mode="max")["loss"].tolist() == [0.5, 0.875, 0.375, 0.125]
    assert result().dataframe("f1")["index"].tolist() == [0, 1, 2, 3]


def test_metrics_with_our_columns_names():
    """Neither hides the other."""
    report = TrialReport(1, 0.5, {"resource": 0.5, "cost": 7.0}, elapsed=2.0)
    one = Trial(0, "k", {}, S.COMPLETED, reports=[report], resource=1)
    found = TuneResult((one,), "resource")
    assert found.dataframe()[["resource", "metric/resource"]].to_numpy().tolist() == [[1, 0.5]]
    assert found.curves()[["resource", "metric/resource"]].to_numpy().tolist() == [[1, 0.5]]
    assert found.best().value == 0.5


def test_curves():
    """One row per report in the order of trials and resources, late ones marked."""
    found = TuneResult((trial(0, [0.5, 0.25], late=[0.125]), trial(1, []), trial(2, [0.75])), "loss")
    table = found.curves()
    assert list(table.columns) == [
        "trial_id",
        "index",
        "bracket",
        "resource",
        "elapsed",
        "late",
        "loss",
        "acc",
    ]
    assert table["index"].tolist() == [0, 0, 0, 2]
    assert table["resource"].tolist() == [1, 2, 3, 1]
    assert table["loss"].tolist() == [0.5, 0.25, 0.125, 0.75]
    assert table["elapsed"].tolist() == [0.5, 1.0, 1.5, 0.5]
    assert table["late"].tolist() == [False, False, True, False]
    assert len(TuneResult(()).curves()) == 0


def test_config_columns_are_unambiguous():
    """Keys with a slash are told from nesting."""
    assert config_columns({"a/b": 1, "a": {"b": 2}, "~": 3, "c": {}}) == {
        "a~1b": 1,
        "a/b": 2,
        "~0": 3,
        "c": {},
    }


@pytest.mark.parametrize("name", ["budget", "frames", "keep", "metrics", "result", "scopes", "trial"])
def test_examples_in_docstrings(name):
    """They run."""
    assert doctest.testmod(importlib.import_module(f"prefect_tune.tuning.{name}")).failed == 0
