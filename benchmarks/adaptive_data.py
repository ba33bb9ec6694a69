"""Data, estimators and parameter spaces of the adaptive benchmarks; worker processes import this file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import SGDClassifier

LABEL = "label"
COLUMNS = 20
ROW_GROUP = 100_000


def classification() -> tuple[Any, Any]:
    """20,000 rows of 20 features, two classes."""
    from sklearn.datasets import make_classification

    return make_classification(n_samples=20_000, n_features=COLUMNS, random_state=0)


# --- (b) four circles and a perceptron: the experiment of Sievert, Augspurger and Rocklin (2019)


def circles(rows: int = 50_000) -> tuple[Any, Any, Any, Any]:
    """(X_train, y_train, X_test, y_test): four classes in two dimensions, four columns of noise; scaled.

    60,000 rows, 10,000 of them for the test; of the rest the first `rows`.
    """
    from sklearn.datasets import make_circles
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    left, inner = make_circles(30_000, noise=0.04, random_state=0)
    right, outer = make_circles(30_000, noise=0.04, random_state=1)
    right[:, 0] += 0.6
    flat, y = np.concatenate([left, right]), np.concatenate([inner, outer + 2])
    noise = np.random.RandomState(42).uniform(-1, 1, size=(len(flat), 4))
    X_train, X_test, y_train, y_test = train_test_split(
        np.hstack([flat, noise]), y, test_size=10_000, random_state=42
    )
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train)[:rows], y_train[:rows], scaler.transform(X_test), y_test


def perceptron() -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        solver="sgd", activation="relu", nesterovs_momentum=True, early_stopping=False, random_state=0
    )


def perceptron_space() -> dict[str, Any]:
    """Networks of about 24 neurons each, and how they learn."""
    from scipy.stats import loguniform, uniform

    return {
        "hidden_layer_sizes": [(24,), (12, 12), (6,) * 4, (4,) * 6, (12, 6, 3, 3)],
        "alpha": loguniform(1e-6, 1e-3),
        "batch_size": [32, 64, 128, 256, 512],
        "learning_rate": ["constant", "invscaling"],
        "learning_rate_init": loguniform(1e-4, 1e-2),
        "power_t": uniform(0.1, 0.8),
        "momentum": uniform(0, 1),
    }


# --- (c) a learner that counts its calls, in whatever process they happen


class CountedSGD(SGDClassifier):
    """Adds a byte to the file ADAPTIVE_LOG at the start of every training call, and takes ADAPTIVE_PAUSE
    seconds longer than its parent."""

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> CountedSGD:
        log = os.open(os.environ["ADAPTIVE_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, b".")
        os.close(log)
        time.sleep(float(os.environ.get("ADAPTIVE_PAUSE", "0")))
        return super().partial_fit(X, y, classes=classes, sample_weight=sample_weight)


# --- (d) a data set on disk


def write_parquet(folder: Path, size: int, files: int = 32) -> int:
    """Number of rows written: `size` bytes of 20 float64 columns and a label, in files of equal length."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = max(1, size // (8 * (COLUMNS + 1)) // files)
    weights = np.random.default_rng(0).standard_normal(COLUMNS)
    schema = pa.schema([(f"x{i:02d}", pa.float64()) for i in range(COLUMNS)] + [(LABEL, pa.int64())])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        rng = np.random.default_rng([1, number])
        path = folder / f"part-{number:03d}.parquet"
        with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
            for start in range(0, rows, ROW_GROUP):
                X = rng.standard_normal((min(ROW_GROUP, rows - start), COLUMNS))
                y = (X @ weights + rng.standard_normal(len(X)) > 0).astype(np.int64)
                writer.write_table(pa.table([*X.T, y], schema=schema))
    return rows * files


# --- (e) a learner that only takes time


class Sleeper(ClassifierMixin, BaseEstimator):
    """Sleeps `unit` seconds for a training call and 1.5 times that for a score.

    What it scores follows from `quality` and the number of calls: more of both is better.
    """

    def __init__(self, quality: float = 0.5, unit: float = 0.02) -> None:
        self.quality = quality
        self.unit = unit

    def fit(self, X: Any, y: Any) -> Sleeper:
        return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Sleeper:
        time.sleep(self.unit)
        self.calls_ = getattr(self, "calls_", 0) + 1
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        time.sleep(1.5 * self.unit)
        return float(self.quality * (1 - 0.5**self.calls_))
