"""What an objective may return or yield, and how the rest is refused."""

from __future__ import annotations

import decimal
import fractions
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import UserError
from prefect_tune.tuning.metrics import Measured, Metric, ReportError, UnknownMetric, number


class Tensor:
    """Looks like a tensor of another library."""

    def __init__(self, value, shape=()):
        self.held, self.shape = value, shape

    def item(self):
        return self.held

    def __float__(self):
        return float(self.held)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (3, 3.0),
        (0.25, 0.25),
        (np.float32(0.5), 0.5),
        (np.float64(0.25), 0.25),
        (np.int64(7), 7.0),
        (np.uint8(7), 7.0),
        (np.array(0.5), 0.5),
        (Tensor(0.5), 0.5),
        (fractions.Fraction(1, 4), 0.25),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
    ],
)
def test_numbers(given, value):
    """Python's and numpy's real numbers, and arrays without dimensions, become floats."""
    assert number(given) == value
    assert type(number(given)) is float
    assert Metric().read(given) == Measured("loss", value, {"loss": value})


def test_nan_is_a_number():
    """The schedules fail it, with its trial named; here it is read."""
    assert math.isnan(number(math.nan))
    assert math.isnan(Metric().read(np.float32("nan")).loss)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (None, r"the report: got None \(NoneType\); nothing was returned"),
        (True, r"the report: got True \(bool\); a bool is no metric"),
        (np.bool_(False), "a bool is no metric"),
        ("0.5", r"the report: got 0.5 \(str\); a text is no metric"),
        (b"0.5", "a text is no metric"),
        (1 + 2j, "a complex number has no order"),
        (np.complex64(1), "a complex number has no order"),
        ([0.5], "a list is no metric"),
        ((0.5, 0.6), "a list is no metric"),
        ({0.5}, "a list is no metric"),
        (np.array([0.5]), r"it has shape \(1,\); report one number, such as its mean"),
        (np.zeros((2, 3)), r"it has shape \(2, 3\)"),
        (Tensor(0.5, (1,)), r"it has shape \(1,\)"),
        (np.array(True), "it holds no number"),
        (np.array("0.5"), "it holds no number"),
        (Tensor(None), "it holds no number"),
        (10**400, "too large for a float"),
        (decimal.Decimal("0.5"), "it is no number"),
        (object(), "it is no number; return the metric as a number"),
        (len, "it is no number"),
    ],
)
def test_what_is_refused(given, cause):
    """With the value, its type and the next move; in a dict the entry is named."""
    with pytest.raises(ReportError, match=cause):
        Metric().read(given)
    with pytest.raises(ReportError, match=r"report\['score'\]"):
        Metric("loss").read({"loss": 0.5, "score": given})


def test_nested_metrics_are_refused():
    """They have no one column."""
    with pytest.raises(
        ReportError, match=r"report\['val'\]: .*metrics cannot be nested; name them like 'val/loss'"
    ):
        Metric("loss").read({"loss": 1, "val": {"loss": 2}})


def test_a_long_value_is_cut():
    """An error names the value, it does not dump it."""
    with pytest.raises(ReportError) as caught:
        Metric().read("x" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("metric", "given", "name", "loss"),
    [
        (Metric(), {"rmse": 2}, "rmse", 2.0),  # the only one
        (Metric(), {"loss": 2, "acc": 0.5}, "loss", 2.0),  # the usual name
        (Metric("acc"), {"loss": 2, "acc": 0.5}, "acc", 0.5),
        (Metric("acc", "max"), {"loss": 2, "acc": 0.5}, "acc", -0.5),
        (Metric("acc", "max"), 0.5, "acc", -0.5),
        (Metric(mode="max"), 0.5, "loss", -0.5),
        (Metric("val/loss"), {"val/loss": 1, "train/loss": 0}, "val/loss", 1.0),
    ],
)
def test_the_metric_to_look_at(metric, given, name, loss):
    """By name, or the only one; its negative where large is good. All metrics are kept as they are."""
    found = metric.read(given)
    assert (found.name, found.loss) == (name, loss)
    assert found.metrics == (given if isinstance(given, dict) else {name: given})
    assert metric.value(metric.loss(0.75)) == 0.75


@pytest.mark.parametrize(
    ("metric", "given", "message"),
    [
        (
            Metric("acuracy"),
            {"accuracy": 1, "loss": 2},
            "metric: the report has no metric 'acuracy'. Did you mean 'accuracy'? It has: accuracy, loss.",
        ),
        (Metric("zzz"), {"loss": 2}, "metric: the report has no metric 'zzz'. It has: loss."),
        (
            Metric(),
            {"rmse": 1, "mae": 2},
            "metric: the report has several metrics and the search names none. It has: mae, rmse.",
        ),
        (Metric("loss"), {}, "metric: the report has no metric 'loss'. It has: none."),
        (
            Metric(),
            {"cost": 1},
            "metric: the report has no metrics; return a number, or a dict with at least one.",
        ),
    ],
)
def test_an_unknown_metric_lists_the_known(metric, given, message):
    """With the closest name, and the same facts as attributes."""
    with pytest.raises(UnknownMetric) as caught:
        metric.read(given)
    assert str(caught.value) == message
    assert caught.value.name == metric.name
    assert caught.value.known == sorted(name for name in given if name != "cost")
    assert isinstance(caught.value, UserError)


def test_errors_survive_the_way_from_a_worker():
    """They pickle with their text and facts."""
    for metric, report in ((Metric("acc"), {"loss": 1}), (Metric(), None)):
        with pytest.raises(ReportError) as caught:
            metric.read(report)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again), vars(again)) == (
            type(caught.value),
            str(caught.value),
            vars(caught.value),
        )


def test_entries_with_a_meaning_of_their_own():
    """Cost, artefacts and the resource are no metrics."""
    model = object()
    given = {"loss": 1, "epoch": 3, "cost": 2, "artefacts": {"model": model}, "lr": 0.1}
    found = Metric("loss").read(given)
    assert found == Measured("loss", 1.0, {"loss": 1.0, "lr": 0.1}, 3, 2.0, {"model": model})
    assert found.artefacts["model"] is model
    assert Metric("loss").read({"loss": 1, "artifacts": {"a": 1}}).artefacts == {"a": 1}
    assert given["epoch"] == 3  # the user's dict is left alone
    assert Metric("loss", resource="step").read({"loss": 1, "step": 5, "epoch": 2}) == Measured(
        "loss", 1.0, {"loss": 1.0, "epoch": 2.0}, 5
    )
    # A search may look at the epoch itself.
    assert Metric("epoch").read({"epoch": 3}) == Measured("epoch", 3.0, {"epoch": 3.0})


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        ({"epoch": 0}, "the resource is a whole number of at least 1"),
        ({"epoch": 1.5}, "the resource is a whole number of at least 1"),
        ({"epoch": math.nan}, "the resource is a whole number of at least 1"),
        ({"epoch": True}, "a bool is no metric"),
        ({"cost": -1}, "the cost so far is a finite number of at least 0"),
        ({"cost": math.nan}, "the cost so far is a finite number of at least 0"),
        ({"cost": "1"}, "a text is no metric"),
        ({"artefacts": [1]}, "give a dict of name -> object"),
        ({"artefacts": {1: 2}}, "give a dict of name -> object"),
        ({3: 1.0}, "names of metrics are texts"),
    ],
)
def test_their_values_are_checked(entry, cause):
    """Each by its own rule."""
    with pytest.raises(ReportError, match=cause):
        Metric("loss").read({"loss": 1} | entry)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "maximize"}, "mode: must be 'min' or 'max', got 'maximize'"),
        ({"name": 3}, "metric: must be a text or None, got 3"),
        ({"name": "cost"}, "metric: 'cost' has a meaning of its own in a report"),
        ({"name": "artifacts"}, "metric: 'artifacts' has a meaning of its own"),
    ],
)
def test_the_setting_is_checked(settings, message):
    """At construction."""
    with pytest.raises(UserError, match=message):
        Metric(**settings)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_mode_and_sign(first, second):
    """Negating the metric and turning the mode round gives the same losses, so the same order."""
    small, large = Metric("m", "min"), Metric("m", "max")
    assert small.read({"m": first}).loss == large.read({"m": -first}).loss
    assert (small.loss(first) < small.loss(second)) == (large.loss(-first) < large.loss(-second))
