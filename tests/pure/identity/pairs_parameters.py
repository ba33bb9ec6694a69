"""Conformance pairs of parameters, estimators and keys that must or must not share a digest.

Run as a script it prints every digest as JSON, so that several processes can be compared.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline as SklearnPipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from prefect_tune.identity.encode import digest, encode_kwargs, plain
from prefect_tune.identity.keys import fold_key, step_key


def param(value):
    return digest("test/v1", value).hex()


def nan_with_payload():
    return np.frombuffer(bytes.fromhex("010000000000f87f"), "<f8")


class Pipeline:
    """Another package's class of the same bare name, with the same parameters."""

    def __init__(self, steps, transform_input=None, memory=None, verbose=False):
        self.values = {
            "steps": steps,
            "transform_input": transform_input,
            "memory": memory,
            "verbose": verbose,
        }

    def get_params(self, deep=True):
        return self.values


def parameter_cases() -> Iterator[tuple[str, str, str]]:
    values = {
        "1": 1,
        "1.0": 1.0,
        "True": True,
        "'1'": "1",
        "b'1'": b"1",
        "None": None,
        "[1]": [1],
        "(1,)": (1,),
    }
    names = list(values)
    for i, left in enumerate(names):
        for right in names[i + 1 :]:
            yield f"{left} and {right}", param(values[left]), param(values[right])
    yield "key types", param({1: 2}), param({"1": 2})
    yield "user's dict order", param({"a": 1, "b": 2}), param({"b": 2, "a": 1})
    yield "zeros", param(0.0), param(-0.0)
    yield "set and frozenset", param({1}), param(frozenset({1}))
    yield "set of numbers and text", param({1}), param({"1"})
    yield "unicode forms", param("\u00e9"), param("e\u0301")
    yield "path and text", param(Path("a")), param("a")
    yield "patterns", param(re.compile("a")), param(re.compile("a", re.IGNORECASE))
    yield "slice ends", param(slice(1, 2)), param(slice(2, 1))
    yield "generator draws", param(np.random.default_rng(0)), param(_drawn(np.random.default_rng(0)))
    yield "random states", param(np.random.RandomState(0)), param(_drawn(np.random.RandomState(0)))
    yield "distributions", param(scipy.stats.uniform(0, 1)), param(scipy.stats.uniform(0, 2))
    yield "discrete", param(scipy.stats.randint(1, 5)), param(scipy.stats.randint(1, 6))
    yield "partials", param(functools.partial(f1_score, average="micro")), param(functools.partial(f1_score))
    yield "ufuncs", param(np.log), param(np.log1p)
    yield "types", param(np.float32), param(np.float64)
    yield "functions", param(f1_score), param(accuracy_score)


def _drawn(generator):
    generator.normal()
    return generator


def estimator_cases() -> Iterator[tuple[str, str, str]]:
    steps = [("scale", StandardScaler()), ("model", SVC())]
    pandas_out = StandardScaler().set_output(transform="pandas")
    identity, fold = b"i" * 32, b"f" * 32
    yield "two packages' Pipeline", param(SklearnPipeline(steps)), param(Pipeline(steps))
    yield "C of 1 and 1.0", param(SVC(C=1)), param(SVC(C=1.0))
    yield "two classes", param(SVC()), param(LogisticRegression())
    yield "output config", param(StandardScaler()), param(pandas_out)
    yield "scorers", param(make_scorer(f1_score)), param(make_scorer(accuracy_score))
    yield "scorer signs", param(make_scorer(f1_score)), param(make_scorer(f1_score, greater_is_better=False))
    yield "scorer arguments", param(make_scorer(f1_score)), param(make_scorer(f1_score, average="macro"))
    yield (
        "scorer responses",
        param(make_scorer(accuracy_score)),
        param(make_scorer(accuracy_score, response_method="predict_proba")),
    )
    yield "splitters", param(KFold(3)), param(StratifiedKFold(3))
    yield "splits", param(KFold(3)), param(KFold(3, shuffle=True, random_state=0))
    yield (
        "fit-transform and transform",
        step_key("fit_transform", identity, [fold]).hex(),
        step_key("transform", identity, [fold]).hex(),
    )
    yield (
        "order of inputs",
        step_key("fit", identity, [fold, identity]).hex(),
        step_key("fit", identity, [identity, fold]).hex(),
    )
    yield (
        "inputs and extras",
        step_key("fit", identity, [fold]).hex(),
        step_key("fit", identity, [], fold).hex(),
    )
    yield "folds", fold_key(fold, np.array([0, 1])).hex(), fold_key(fold, np.array([1, 0])).hex()
    yield "fold and everything", fold_key(fold, np.array([0])).hex(), fold_key(fold, None).hex()


def differing() -> Iterator[tuple[str, str, str]]:
    """Name and two digests of every pair that must differ."""
    yield from parameter_cases()
    yield from estimator_cases()


def equal() -> Iterator[tuple[str, str, str]]:
    """Name and two digests of every pair that must be equal."""
    yield "strided parameter and copy", param(np.arange(10.0)[::2]), param(np.arange(0.0, 10.0, 2))
    yield (
        "sets built in other orders",
        param(set(map(str, range(99)))),
        param(set(map(str, range(98, -1, -1)))),
    )
    yield "frozensets", param(frozenset("abc")), param(frozenset("cba"))
    yield "float64 scalar", param(plain(np.float64(1))), param(1.0)
    yield "int64 scalar", param(plain([np.int64(3)])), param([3])
    yield "keyword order", encode_kwargs({"a": 1, "b": 2}).hex(), encode_kwargs({"b": 2, "a": 1}).hex()
    yield "any NaN parameter", param(float(nan_with_payload()[0])), param(float("nan"))
    yield "class_weight order", param(SVC(class_weight={0: 1, 1: 2})), param(SVC(class_weight={1: 2, 0: 1}))
    yield "verbosity", param(SVC(verbose=True, cache_size=10)), param(SVC())
    yield (
        "jobs",
        param(SklearnPipeline([("m", LogisticRegression(n_jobs=2))])),
        param(SklearnPipeline([("m", LogisticRegression())], verbose=True)),
    )


CASES: dict[str, Callable[[], Iterator[tuple[str, str, str]]]] = {"differ": differing, "equal": equal}

if __name__ == "__main__":
    if "--without-fast-hashes" in sys.argv:
        sys.modules |= dict.fromkeys(["xxhash", "cityhash", "mmh3"])  # an import of them now fails
    print(json.dumps({kind: list(cases()) for kind, cases in CASES.items()}))
