"""Keys of training: what is shared has one key, what differs has another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from prefect_tune.chains import Chain, Parts
from prefect_tune.chunks import open_chunks, plan_split
from prefect_tune.errors import UserError
from prefect_tune.store import StepStore
from prefect_tune.training import TrainingSpec, prepare_training

rng = np.random.default_rng(0)
X, y = rng.normal(size=(100, 3)), np.arange(100) % 2
PIPE = Pipeline([("scale", StandardScaler()), ("clf", SGDClassifier())])


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore.open(tmp_path / "store")


def spec_of(
    store: StepStore, estimator: Any, rows: list[dict[str, Any]], data: Any = None, **options: Any
) -> TrainingSpec:
    data = data or open_chunks(X, y, store=store, chunk_size=25)
    cut = {name: options.pop(name) for name in ("test_size", "cv", "validation") if name in options}
    split = plan_split(data, random_state=options.pop("random_state", 0), **cut)
    options = {"constants": {"classes": [0, 1]}, **options}
    return prepare_training(estimator, rows, data, split, **options)


def chain(spec: TrainingSpec, row: int = 0, split: int = 0) -> Chain:
    return spec.chains().chain(spec.candidates[row], split)


def links(found: Chain, count: int = 6) -> list[bytes]:
    return [found.link(call) for call in range(count + 1)]


def test_links_differ_by_call(store: StepStore) -> None:
    """Every call gives another key, also when it is given a chunk again."""
    found = links(chain(spec_of(store, SGDClassifier(), [{"alpha": 0.1}])), 12)
    assert len(set(found)) == 13


def test_what_is_no_part_of_training(store: StepStore) -> None:
    """Other candidates, the metric, the name and a parameter's place change no link."""
    base = links(chain(spec_of(store, SGDClassifier(), [{"alpha": 0.1}])))
    same = [
        spec_of(store, SGDClassifier(), [{"alpha": np.float64(0.1)}, {"alpha": 0.2}], name="another"),
        spec_of(store, SGDClassifier(), [{"alpha": 0.1}], scoring="f1"),
        spec_of(store, SGDClassifier(alpha=0.1), [{}]),
        spec_of(store, SGDClassifier(alpha=0.5), [{"alpha": 0.1}], error_score="raise"),
        spec_of(store, make_pipeline("passthrough", SGDClassifier()), [{"sgdclassifier__alpha": 0.1}]),
    ]
    assert all(links(chain(spec)) == base for spec in same)


def test_what_is_part_of_training(store: StepStore) -> None:
    """Parameters, seed, classes, weights, split and cut are."""
    base = {"alpha": 0.1}
    weighted = open_chunks(X, y, store=store, chunk_size=25, params={"sample_weight": np.ones(100)})
    specs = [
        spec_of(store, SGDClassifier(), [base]),
        spec_of(store, SGDClassifier(), [{"alpha": 0.2}]),
        spec_of(store, SGDClassifier(random_state=0), [base]),
        spec_of(store, SGDClassifier(), [base], seed=1),
        spec_of(store, SGDClassifier(), [base], constants={"classes": [0, 1, 2]}),
        spec_of(store, SGDClassifier(), [base], random_state=1),
        spec_of(store, SGDClassifier(), [base], test_size=0.4),
        spec_of(store, SGDClassifier(), [base], open_chunks(X, y, store=store, chunk_size=20)),
        spec_of(store, SGDClassifier(), [base], open_chunks(X, 1 - y, store=store, chunk_size=25)),
        spec_of(store, SGDClassifier(), [base], weighted, row_params=("sample_weight",)),
        spec_of(store, PIPE, [{"clf__alpha": 0.1}]),
    ]
    assert len({chain(spec).link(3) for spec in specs}) == len(specs)


def test_folds_have_chains_of_their_own(store: StepStore) -> None:
    """A fold trains on other rows than another fold."""
    spec = spec_of(store, SGDClassifier(), [{}], cv=4)
    assert len({chain(spec, 0, split).link(1) for split in range(4)}) == 4
    assert len({chain(spec, 0, split).name for split in range(4)}) == 4


def test_scores(store: StepStore) -> None:
    """The key of a score has the metric and the scored rows in it, and follows the state."""
    two = {"scoring": ["accuracy", "f1"], "refit": "f1"}
    several = chain(spec_of(store, SGDClassifier(), [{}], **two))
    accuracy, f1 = several.score_keys((3,))
    assert accuracy != f1
    alone = chain(spec_of(store, SGDClassifier(), [{}], scoring="accuracy"))
    assert alone.score_keys((3,)) == (accuracy,)
    assert alone.score_keys((4,)) != (accuracy,)
    held = open_chunks(X[:50], y[:50], store=store)
    other = open_chunks(X[50:], y[50:], store=store)
    chains = [chain(spec_of(store, SGDClassifier(), [{}], validation=rows)) for rows in (held, other)]
    assert chains[0].link(3) == chains[1].link(3)
    assert chains[0].score_keys((3,)) != chains[1].score_keys((3,))


def test_appended_file_changes_no_call_before_it(store: StepStore, tmp_path: Path) -> None:
    """The calls of the first pass are as they were; the pass that meets the new file is not."""
    folder = tmp_path / "data"
    folder.mkdir()

    def add(number: int) -> None:
        frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"]).assign(t=np.arange(40) % 2)
        frame.to_parquet(folder / f"{number}.parquet", index=False)

    for number in range(3):
        add(number)
    names = {"resource": "n_samples", "constants": {}}
    first = [open_chunks(str(folder), "t", store=store)]
    add(3)
    first.append(open_chunks(str(folder), "t", store=store))
    before, after = (links(chain(spec_of(store, SGDClassifier(), [{}], data))) for data in first)
    assert before[:4] == after[:4]
    assert before[4] != after[4]
    rows = [chain(spec_of(store, GaussianNB(), [{}], data, **names)) for data in first]
    assert rows[0].key((60,)) == rows[1].key((60,))
    assert rows[0].key((120,)) != rows[1].key((120,))
    piped = [chain(spec_of(store, PIPE, [{}], data, prefix_rows=50)) for data in first]
    assert links(piped[0], 3) == links(piped[1], 3)
    whole = [chain(spec_of(store, PIPE, [{}], data)) for data in first]
    assert whole[0].link(1) != whole[1].link(1)


def test_first_steps_are_shared(store: StepStore) -> None:
    """Candidates with the same first steps have the very same states and chunks."""
    rows = [{"clf__alpha": 0.1}, {"clf__alpha": 0.2}, {"scale__with_mean": False}]
    spec = spec_of(store, PIPE, rows)
    chains = spec.chains()
    one, two, three = (chains.chain(row, 0) for row in spec.candidates)
    assert one.states is two.states
    assert one.node(1) is two.node(1)
    assert one.node(1).key != three.node(1).key
    assert (one.start, one.name) != (two.start, two.name)
    assert one.start != three.start or one.name != three.name


def test_a_parameter_that_grows(store: StepStore) -> None:
    """Warm states depend on the levels in between, cold ones on the last alone; neither is the other."""
    forest = spec_of(store, RandomForestClassifier(), [{}], resource="n_estimators", constants={})
    assert forest.resource.warm
    found = chain(forest)
    assert found.key((1, 3)) != found.key((3,))
    cold = spec_of(store, RandomForestClassifier(), [{}], resource="max_depth", constants={})
    assert not cold.resource.warm
    assert chain(cold).key((1, 3)) == chain(cold).key((3,))
    assert len({chain(cold).key((3,)), found.key((3,)), found.key((1, 3))}) == 3


def test_parts() -> None:
    """Chunks of calls come from one plan that only ever grows; numbers of folds do not collide."""
    order = [2, 0, 1, 1, 2, 0, 0, 1, 2]
    parts = Parts([3, 2], lambda split, calls: order[:calls], lambda split, chunk: 10 * (chunk + 1))
    assert [parts.chunk_of(0, call) for call in (1, 9, 4)] == [2, 2, 1]
    numbers = [parts.fold(s, c) for s, count in enumerate(parts.counts) for c in range(count)]
    numbers += [parts.sample(0), parts.sample(1)]
    assert len(set(numbers)) == len(numbers)
    assert [parts.place(parts.fold(1, 1)), parts.place(parts.sample(1))] == [(1, 1), None]
    # Chunks 2, 0, 1 have 30, 10 and 20 rows.
    assert [len(parts.calls_for(0, rows)) for rows in (1, 30, 31, 40, 41, 60, 99, None)] == [
        1,
        1,
        2,
        2,
        3,
        3,
        3,
        3,
    ]


def test_untrainable(store: StepStore) -> None:
    """A pipeline that ends in nothing cannot be trained in rounds."""
    with pytest.raises(UserError, match="last step is passthrough"):
        spec_of(store, Pipeline([("s", StandardScaler()), ("c", "passthrough")]), [{}], scoring="accuracy")
