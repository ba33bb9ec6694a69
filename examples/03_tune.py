"""ASHA and TPE over a small network, trained epoch by epoch: as asked, with more trials, with more epochs.

The second run goes on where the first one ended, and the best of all go on from their checkpoints to three
times as many epochs. Nothing else needs to be started: a temporary Prefect API and a local Dask cluster come
up with the search.

    python examples/03_tune.py
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from prefect_tune import TuneResult, tune
from prefect_tune.space import choice, lograndint, loguniform, uniform

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

Checkpoint = tuple[int, MLPClassifier]


def train(config: dict[str, Any], resume: Checkpoint | None) -> Iterator[tuple[dict[str, Any], Checkpoint]]:
    """After each epoch what the network has reached, and the network to go on with."""
    done, network = resume or (0, MLPClassifier(solver="sgd", random_state=0, **config))
    for epoch in count(done + 1):  # the search says when it is enough
        network.partial_fit(X_train, y_train, classes=range(10))
        yield {"epoch": epoch, "accuracy": network.score(X_test, y_test)}, (epoch, network)


space = {
    "learning_rate_init": loguniform(1e-4, 1),
    "momentum": uniform(0, 0.99),
    "alpha": loguniform(1e-6, 1),
    "batch_size": choice([16, 32, 64, 128]),
    "hidden_layer_sizes": lograndint(8, 128),
}


def search(n_trials: int) -> TuneResult:
    """The search with so many configurations in all; those that look bad stop after 1, 3 or 9 epochs."""
    return tune(
        train,
        space,
        metric="accuracy",
        mode="max",
        n_trials=n_trials,
        sampler="tpe",
        schedule="asha",
        max_resource=27,
        seed=0,
        name="digits",
    )


print("First search: 15 configurations, none for more than 27 epochs.", flush=True)
first = search(15)

print("\nThe same search with 30: it goes on from the sixteenth.", flush=True)
more = search(30)

print("\nThe best three, three times as long: they go on from their checkpoints.", flush=True)
best = [more[index].config for index in more.ranking[:3]]
longer = tune(
    train,
    space,
    metric="accuracy",
    mode="max",
    points_to_evaluate=best,
    n_trials=len(best),
    max_resource=81,
    seed=0,
    name="digits, longer",
)

full = 27 * len(more)
epoch, network = longer.load_best()
print(
    f"\nepochs trained: {first.cost.trained} for 15 configurations, {more.cost.trained} for {len(more)} "
    f"(all of them to the end: {full}); then {longer.cost.trained} more, and {longer.cost.known} were known\n"
    f"best: {longer.best_config} with accuracy {longer.best_value:.4f} ({more.best_value:.4f} before)\n"
    f"its network has seen {epoch} epochs and calls the first digits {network.predict(X_test[:5])}\n"
    f"report: {longer.report_path}"
)
