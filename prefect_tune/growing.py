"""Which estimators grow exactly: fitted further, they are what a fit from nothing would have made of them.

Rule 1: exactly means to the bit. So what was grown has the key of a fit from nothing, and growing is a way of
computing a step that changes no result.
Rule 2: by exact class and version, and only while every condition of its row holds. In doubt a fit starts
from nothing: so do subclasses, users' classes, and what stops early.
Rule 3: a row is there because its code was read and because tests compare it. Left out for cause are SGD and
MLP (`max_iter`: shuffling, rates and stopping begin anew with each fit), linear models (they end elsewhere),
and bagging (it remembers the samples of its last fit only).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np

FOR_GROWTH = "for_growth"
"""What the record of a fit says that is kept only until a later iteration has gone on from it."""

Condition = Callable[[Mapping[str, Any], int], str]
"""(parameters, number of training rows) -> why the fit must start from nothing; empty: it need not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How the fits of an iteration go on from those of the iterations before.

    Attributes:
        parameter: path of the parameter that grows, such as `clf__n_estimators`.
        before: its earlier values, ascending.
        keep: whether a later iteration goes on from the fits of this one.
    """

    parameter: str
    before: tuple[int, ...]
    keep: bool

    def own_name(self, path: str) -> str:
        """The parameter's name at the step of that path; empty if it is another step's."""
        owner, _, name = self.parameter.rpartition("__")
        return name if owner == path else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grower:
    """A family of estimators that grow exactly.

    Attributes:
        parameter: what grows.
        why: the reason that they do.
        conditions: what must hold besides.
        versions: first version of the package inside, last one outside.
        argument: the argument of `fit` that takes the model so far; empty: `warm_start`.
    """

    parameter: str
    why: str
    conditions: tuple[Condition, ...]
    versions: tuple[tuple[int, int], tuple[int, int]] = ((1, 8), (1, 10))
    argument: str = ""


def grower_of(estimator: Any) -> Grower | None:
    """The row of exactly this class; None outside the versions it was tested with."""
    kind = type(estimator)
    row = TABLE.get(f"{kind.__module__}.{kind.__qualname__}")
    if row is None:
        return None
    version = getattr(sys.modules[kind.__module__.partition(".")[0]], "__version__", "").split(".")[:2]
    known = len(version) == 2 and all(part.isdigit() for part in version)
    return row if known and row.versions[0] <= tuple(map(int, version)) < row.versions[1] else None


def why_from_nothing(estimator: Any, parameter: str, rows: int, arguments: Mapping[str, Any]) -> str:
    """Why a fit of `estimator` must start from nothing; empty if it may go on from one with less.

    Args:
        estimator: unfitted, as the candidate has it.
        parameter: what grows, without a path.
        rows: number of training rows.
        arguments: what `fit` gets besides X and y.

    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> why_from_nothing(ExtraTreesClassifier(random_state=1), "n_estimators", 100, {})
    ''
    >>> why_from_nothing(ExtraTreesClassifier(), "n_estimators", 100, {})
    'random_state is None and no number'
    """
    row = grower_of(estimator)
    if row is None or row.parameter != parameter:
        return f"{type(estimator).__name__} is not known to grow exactly by {parameter}"
    others = [name for name in arguments if name != "sample_weight"]
    if others:
        return f"fit is given {others[0]}"
    params = estimator.get_params(deep=False)
    odd = [name for name, value in params.items() if not _is_plain(value) and name != "random_state"]
    reasons = [f"{name} is an object of its own" for name in odd]
    return next((why for why in (*reasons, *(is_so(params, rows) for is_so in row.conditions)) if why), "")


def _is_plain(value: Any) -> bool:
    """Whether a parameter is a value, and nothing that could have a state or a mind of its own."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str, np.generic, np.ndarray))


# -- conditions --------------------------------------------------------------------------------------------


def _seeded(params: Mapping[str, Any], rows: int) -> str:
    seed = params["random_state"]
    number = isinstance(seed, Integral) and not isinstance(seed, bool)
    return "" if number else f"random_state is {'None' if seed is None else 'an object'} and no number"


def _no_class_weight_by_name(params: Mapping[str, Any], rows: int) -> str:
    # The same trees, but a warning with each: presets might be meant for the data of the last fit only.
    named = isinstance(weight := params.get("class_weight"), (str, list)) and bool(weight)
    return f"class_weight={weight!r} makes warm starts warn" if named else ""


def _never_stops_early(params: Mapping[str, Any], rows: int) -> str:
    return "" if params["n_iter_no_change"] is None else "n_iter_no_change may stop it early"


def _does_all_iterations(params: Mapping[str, Any], rows: int) -> str:
    stops = params["early_stopping"]
    stops = rows > 10_000 if stops == "auto" else stops  # scikit-learn's rule, as documented
    return "early_stopping may stop it early" if stops else ""


def _starts_plainly(params: Mapping[str, Any], rows: int) -> str:
    return "" if params["init"] in (None, "zero") else f"init is {params['init']!r}"


def _adds_up(params: Mapping[str, Any], rows: int) -> str:
    return "" if adds_up() else "this build of scikit-learn rounds differently in training and predicting"


@lru_cache(maxsize=1)
def adds_up() -> bool:
    """Whether gradient boosting predicts, to the bit, the sum that training adds up.

    Training multiplies and then adds, with NumPy; predicting is compiled, and compilers for other processors
    than x86-64 may fuse the two, which rounds once instead of twice.
    """
    from sklearn.ensemble import GradientBoostingRegressor

    X = np.random.RandomState(0).rand(200, 2)
    model = GradientBoostingRegressor(learning_rate=0.37, n_estimators=5, random_state=0)
    model.fit(X, X[:, 0] * X[:, 1])
    total = model.init_.predict(X)
    for tree in model.estimators_[:, 0]:
        total = total + 0.37 * tree.predict(X)
    return bool(np.array_equal(total, model.predict(X)))


def _nothing_but(free: str, choices: Mapping[str, tuple]) -> Condition:
    """The condition that all parameters but the `free` ones are off, or among their choices."""
    names = frozenset(free.split())

    def condition(params: Mapping[str, Any], rows: int) -> str:
        for name, value in params.items():
            off = value is None or value is False or (type(value) in (int, float) and value == 1)
            chosen = isinstance(value, (str, int)) and value in choices.get(name, ())
            if name not in names and not off and not chosen:
                return f"{name} is {value!r}"
        return ""

    return condition


# -- the table ---------------------------------------------------------------------------------------------

_FOREST = Grower(
    parameter="n_estimators",
    why="Each tree has a seed drawn from random_state; a warm start skips the seeds of the trees it has.",
    conditions=(_seeded, _no_class_weight_by_name),
)
_BOOSTING = Grower(
    parameter="n_estimators",
    why="The generator is kept between fits, and the trees so far predict the sum that training had reached.",
    conditions=(_seeded, _never_stops_early, _starts_plainly, _adds_up),
)
_HISTOGRAMS = Grower(
    parameter="max_iter",
    why="Seeds of bins and features are kept between fits; leaves hold what is added, so sums are the same.",
    conditions=(_seeded, _does_all_iterations),
)
_XGBOOST = Grower(
    parameter="n_estimators",
    why="Leaves hold what is added, so sums are the same; nothing is drawn while there is no sampling.",
    conditions=(
        _seeded,
        _nothing_but(
            "n_estimators random_state n_jobs verbosity missing importance_type learning_rate max_depth "
            "max_leaves max_bin grow_policy gamma min_child_weight max_delta_step reg_alpha reg_lambda "
            "scale_pos_weight base_score",
            {
                "booster": ("gbtree",),
                "device": ("cpu",),
                "tree_method": ("auto", "exact", "hist", "approx"),
                "objective": ("binary:logistic", "multi:softprob", "reg:squarederror"),
            },
        ),
    ),
    versions=((3, 0), (4, 0)),
    argument="xgb_model",
)
_LIGHTGBM = Grower(
    parameter="n_estimators",
    why=_XGBOOST.why,
    conditions=(
        _seeded,
        _nothing_but(
            "n_estimators random_state n_jobs verbose verbosity importance_type learning_rate max_depth "
            "num_leaves min_child_samples min_child_weight min_split_gain reg_alpha reg_lambda max_bin "
            "subsample_for_bin deterministic force_col_wise force_row_wise boost_from_average",
            {"boosting_type": ("gbdt",), "subsample_freq": (0,)},
        ),
    ),
    versions=((4, 0), (5, 0)),
    argument="init_model",
)

_SKLEARN = "sklearn.ensemble."
TABLE: Mapping[str, Grower] = {
    f"{_SKLEARN}_forest.RandomForestClassifier": _FOREST,
    f"{_SKLEARN}_forest.RandomForestRegressor": _FOREST,
    f"{_SKLEARN}_forest.ExtraTreesClassifier": _FOREST,
    f"{_SKLEARN}_forest.ExtraTreesRegressor": _FOREST,
    f"{_SKLEARN}_gb.GradientBoostingClassifier": _BOOSTING,
    f"{_SKLEARN}_gb.GradientBoostingRegressor": _BOOSTING,
    f"{_SKLEARN}_hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier": _HISTOGRAMS,
    f"{_SKLEARN}_hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor": _HISTOGRAMS,
    "xgboost.sklearn.XGBClassifier": _XGBOOST,
    "xgboost.sklearn.XGBRegressor": _XGBOOST,
    "lightgbm.sklearn.LGBMClassifier": _LIGHTGBM,
    "lightgbm.sklearn.LGBMRegressor": _LIGHTGBM,
}
"""Class -> how it grows."""
