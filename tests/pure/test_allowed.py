"""Names in parameters: what may be imported and called, and that nothing else is even touched."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from prefect_tune import allowed
from prefect_tune.errors import NotAllowed, UserError
from prefect_tune.request import revive


def built(name: str, **params: Any) -> Any:
    """What the JSON form gives."""
    return revive({"class": name, "params": params}, None, "estimator")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sklearn.linear_model.LogisticRegression", {"C": 2.0}),
        ("sklearn.model_selection.StratifiedKFold", {"n_splits": 3}),
        ("sklearn.gaussian_process.kernels.RBF", {}),
        ("scipy.stats.loguniform", {"a": 0.1, "b": 10.0}),
        ("scipy.stats.randint", {"low": 1, "high": 9}),
        ("numpy.random.RandomState", {"seed": 3}),
        ("prefect_tune.ParallelPostFit", {"estimator": None}),
        ("prefect_tune.schedules.asynchronous.asha.ASHA", {"max_resource": 9}),
    ],
)
def test_what_searches_need_is_allowed(name: str, params: dict[str, Any]) -> None:
    """Estimators, splitters, kernels, distributions, generators and our own classes are built as ever."""
    free = built(name, **params)
    with allowed.only():
        assert type(built(name, **params)) is type(free)


GADGETS = {
    "os.system": {"command": "touch {file}"},
    "posix.system": {"command": "touch {file}"},
    "subprocess.Popen": {"args": ["touch", "{file}"]},
    "builtins.eval": {},
    "builtins.open": {"file": "{file}", "mode": "w"},
    "shutil.copyfile": {"src": __file__, "dst": "{file}"},
    "pathlib.Path": {},
    "joblib.Memory": {"location": "{file}"},
    # through modules and classes that an allowed module shows
    "sklearn.utils.os": {},
    "sklearn.utils.os.system": {"command": "touch {file}"},
    "sklearn.base.os.system": {"command": "touch {file}"},
    "sklearn.datasets._base.Path": {},
    "sklearn.base.defaultdict": {},
    "numpy.os": {},
    "scipy.stats.sys": {},
    "prefect_tune.store.actions.threading": {},
    "prefect_tune.flows.places.Path": {},
    # allowed modules, but not for this
    "numpy.memmap": {"filename": "{file}", "mode": "w+", "shape": 1},
    "numpy.save": {"file": "{file}", "arr": [1]},
    "numpy.f2py.run_main": {"comline_list": ["{file}"]},
    "numpy.f2py.__main__.main": {},
    "numpy.lib.npyio.DataSource": {"destpath": "{file}"},
    "numpy.testing.measure": {"code_str": "open({file!r}, 'w')"},
    "sklearn.datasets.fetch_openml": {"data_home": "{file}"},
    "sklearn.externals.anything.At": {},
    "sklearn.utils._testing.TempMemmap": {"data": [1]},
    "sklearn.conftest.pytest_configure": {},
    "scipy.stats.rv_continuous": {"shapes": "x"},
    "scipy.stats.distributions.rv_discrete": {"shapes": "x"},
    "prefect_tune.tasks.local_cluster.WorkerProcess": {"scheduler": "tcp://x"},
    "prefect_tune.blocks.StepStore": {"root": "{file}"},
    "prefect_tune.tasks.cluster.open_cluster": {},
    # names that only begin alike, or are no names
    "sklearn_evil.Model": {},
    "numpyx.Thing": {},
    "sklearn..svm.SVC": {},
    ".sklearn.svm.SVC": {},
    "sklearn.svm.": {},
}


@pytest.mark.parametrize("name", GADGETS)
def test_a_gadget_is_refused_and_nothing_runs(name: str, tmp_path: Path) -> None:
    """Whatever the way to a dangerous name, it is refused as the user's mistake, and nothing was called."""
    file = tmp_path / "written"

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        return (
            value.replace("{file!r}", repr(str(file))).replace("{file}", str(file))
            if isinstance(value, str)
            else value
        )

    params = {key: filled(value) for key, value in GADGETS[name].items()}
    with allowed.only(), pytest.raises(UserError):
        built(name, **params)
    with allowed.only(), pytest.raises(UserError):  # inside something that is allowed
        built("sklearn.pipeline.Pipeline", steps=[["clf", {"class": name, "params": params}]])
    assert list(tmp_path.iterdir()) == []


def test_a_refused_module_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing runs code, so the name is judged first; in the user's own process it is simply imported."""
    (tmp_path / "unheard_of.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with allowed.only(("other",)), pytest.raises(NotAllowed):
        built("unheard_of.Model")
    assert "unheard_of" not in sys.modules
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match="no 'Model'"):
        built("unheard_of.Model")
    assert (tmp_path / "ran").exists()
    del sys.modules["unheard_of"]


def test_the_refusal_says_where_what_and_how_to_allow_it() -> None:
    """The message names the parameter, the name, what is allowed and the setting, and survives pickling."""
    with allowed.only(("my_models",)), pytest.raises(NotAllowed) as caught:
        built("xgboost.XGBClassifier")
    for words in (
        "estimator:",
        "'xgboost.XGBClassifier'",
        "sklearn",
        "my_models",
        f"'xgboost' to {allowed.SETTING}",
    ):
        assert words in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.place, copy.name) == (str(caught.value), "estimator", "xgboost.XGBClassifier")


def test_modules_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that was added is allowed with all below it, but not what it merely shows of others."""
    (tmp_path / "added_models.py").write_text(
        "from subprocess import Popen\nfrom sklearn.svm import SVC\nclass Model:\n    pass\n"
        "def make():\n    return Model()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with allowed.only(("added_models",)):
        assert type(built("added_models.Model")).__name__ == "Model"
        assert type(built("added_models.SVC")).__name__ == "SVC"
        with pytest.raises(NotAllowed, match=r"subprocess\.Popen"):
            built("added_models.Popen", args=["true"])
        with pytest.raises(NotAllowed, match="not a class"):
            built("added_models.make")
    with allowed.only(), pytest.raises(NotAllowed):
        built("added_models.Model")
    with allowed.only(("added_models",)), allowed.only():  # inside another, both lists count
        built("added_models.Model")
    del sys.modules["added_models"]


def test_functions_and_clusters_come_from_added_modules_only() -> None:
    """NumPy is full of functions that take any argument, and clusters of arguments that are run."""
    with allowed.only(("json",)):
        allowed.check_added("json.dumps", "objective")
        for name in (
            "numpy.load",
            "sklearn.datasets.fetch_openml",
            "distributed.LocalCluster",
            "jsonx.dumps",
        ):
            with pytest.raises(NotAllowed, match=allowed.SETTING):
                allowed.check_added(name, "objective")
        import json
        import os

        allowed.check_function(json.dumps, "json.dumps", "objective")
        with pytest.raises(NotAllowed):
            allowed.check_function(os.system, "json.codecs.sys", "objective")
    allowed.check_added("anything.at_all", "objective")


def test_live_objects_and_the_own_process_are_free() -> None:
    """Objects pass through in any context, and without one any importable class is built."""
    model = LogisticRegression()
    with allowed.only():
        assert allowed.in_force()
        assert revive(model, None) is model
    assert not allowed.in_force()
    assert type(built("collections.OrderedDict")).__name__ == "OrderedDict"
