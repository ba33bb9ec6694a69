"""What callbacks are told, in which order, and that they cannot hurt a search."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from prefect_tune import TuneCallback, tune
from prefect_tune.errors import UserError
from prefect_tune.space import uniform
from prefect_tune.tuning.callbacks import METHODS, callbacks_of

sys.path.append(str(Path(__file__).parent))
import objectives
import told
from objectives import MOST
from told import Recorder

SPACE = {"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)}


@pytest.fixture
def asked(prefect_api: str, dask_threads: Any, tmp_path: Path) -> dict[str, Any]:
    """A search by successive halving, where trials end early, late, or wait for a promotion for ever."""
    return {
        "objective": objectives.epochs,
        "space": SPACE,
        "n_trials": 6,
        "sampler": "random",
        "schedule": {"asha": {"type": "promotion", "max_resource": MOST}},
        "cluster": dask_threads.scheduler_address,
        "store": str(tmp_path / "store"),
        "verbose": 0,
    }


def named(calls: list[tuple[Any, ...]], name: str) -> list[tuple[Any, ...]]:
    return [call[1:] for call in calls if call[0] == name]


def test_everything_is_told_once_and_in_order(asked):
    """The search, then each trial before its reports and its end, then the result; paused trials end, too."""
    result = tune(**asked, callbacks=Recorder(calls := []))
    assert [call[0] for call in calls].count("search_started") == 1
    assert (calls[0][0], calls[-1]) == ("search_started", ("search_ended", result))
    assert sorted(named(calls, "trial_started")) == [(t.index,) for t in result]
    assert sorted(named(calls, "trial_ended")) == [(t.index, t.state) for t in result]
    for trial in result:
        mine = [call for call in calls if call[1] == trial.index and call[0].startswith("trial")]
        reports = [(trial.index, report.resource, report.loss) for report in trial.reports]
        assert named(mine, "trial_reported") == reports
        assert (mine[0][0], mine[-1][0]) == ("trial_started", "trial_ended")
    info = calls[0][1]
    assert (info.name, info.objective, info.mode, info.resume) == ("tune", "epochs", "min", True)


def test_a_search_that_finds_everything_tells_it_again(asked):
    """The second run trains nothing; a callback hears the same, under the same key."""
    tune(**asked, callbacks=[Recorder(first := [])])
    tune(**asked, callbacks=[Recorder(again := [])])
    assert again[0] == first[0]
    assert sorted(again[1:-1]) == sorted(first[1:-1])


def test_a_callback_that_raises_changes_nothing(asked, caplog):
    """Its failure is reported with its name; the others are told, and the result is the same."""

    class Broken(TuneCallback):
        def trial_started(self, trial):
            raise RuntimeError("no disk")

        def search_ended(self, result):
            raise RuntimeError("no network")

    result = tune(**asked, callbacks=[Broken(), Recorder(calls := [])])
    assert len(named(calls, "trial_started")) == len(result) == 6
    assert calls[-1] == ("search_ended", result)
    assert "callback Broken.trial_started failed" in caplog.text
    assert "no network" in caplog.text


def test_a_search_that_is_interrupted_says_so(asked):
    """An error in the driver: the callbacks are told of it instead of a result."""

    def stop(status):
        if status.evaluations >= 3:
            raise RuntimeError("pulled the plug")
        return False

    with pytest.raises(RuntimeError, match="pulled the plug"):
        tune(**asked, stop=stop, callbacks=[Recorder(calls := [])])
    ((error,),) = named(calls, "search_interrupted")
    assert "pulled the plug" in str(error)
    assert calls[-1][0] == "search_interrupted"
    assert named(calls, "search_ended") == []


def test_callbacks_in_json_form(asked):
    """A deployment names the class and its arguments."""
    told.CALLS.clear()
    tune(**asked, callbacks=[{"class": "told.Recorder", "params": {}}])
    assert told.CALLS[0][0] == "search_started"
    assert told.CALLS[-1][0] == "search_ended"


@pytest.mark.parametrize(
    ("given", "words"), [([Recorder], "give an object: Recorder"), (["mlflow"], "trial_reported")]
)
def test_what_is_no_callback_is_refused(asked, given, words):
    """A class, or something that would never be told anything, is a mistake at the door."""
    with pytest.raises(UserError, match=words):
        tune(**asked, callbacks=given)


def test_one_method_is_enough():
    """An object with one of the methods, alone or in a list; nothing is none."""

    class Ends:
        def search_ended(self, result):
            """Told."""

    end = Ends()
    assert callbacks_of(None) == ()
    assert callbacks_of(end) == callbacks_of([end]) == (end,)


def test_every_method_is_documented():
    """The base class says of each method when it is called, and does nothing."""
    assert len(METHODS) == 6
    assert all(getattr(TuneCallback, name).__doc__ for name in METHODS)
