"""Seeds are derived by name, pinned, and put into an estimator and out of it again."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from prefect_tune.identity.seeds import derive_seed, inject_seeds, low32, restore_seeds

PINNED = 172118136396277812228823059629612414211  # derive_seed(0, "random_state")


def by_hand(text: str) -> int:
    """The seed for search seed 0 and one text, from the published frame layout alone."""
    body = b"\x03int" + (1).to_bytes(8, "little") + b"0"
    body += b"\x03str" + len(text).to_bytes(8, "little") + text.encode()
    whole = b"\x07seed/v1" + len(body).to_bytes(8, "little") + body
    return int.from_bytes(blake3(whole).digest()[:16], "little")


def test_derive_seed_is_the_start_of_a_digest():
    """A seed is the first 16 bytes, little endian, of the digest of the search seed and the names."""
    assert derive_seed(0, "random_state") == by_hand("random_state")


def test_derive_seed_is_pinned():
    """Seeds are part of published results: they never change under one schema."""
    assert derive_seed(0, "random_state") == PINNED
    assert 0 <= low32(PINNED) < 2**32


@pytest.mark.parametrize("parts", [(0, "a"), (1,), (0, 1), (0, "a", "b"), (0, ["a", "b"]), (0, "ab")])
def test_derive_seed_separates_names(parts):
    """Any other search seed or name gives another seed."""
    others = [(0, "b"), (0, b"a"), (0, 1.0), (0, "a", 0), (True,)]
    assert derive_seed(*parts) not in [derive_seed(*other) for other in others]


def test_inject_seeds_fills_only_none():
    """Every nested None gets a seed of 32 bits, by its path; a number given by the user stays."""
    model = make_pipeline(QuantileTransformer(random_state=7), RandomForestClassifier())
    found = inject_seeds(model, lambda path: derive_seed(0, path))
    name = "randomforestclassifier__random_state"
    assert found == {name: by_hand(name) % 2**32}
    assert model.get_params()[name] == found[name]
    assert model.get_params()["quantiletransformer__random_state"] == 7


def test_restore_seeds_undoes_on_the_fitted_object():
    """After a fit the parameters are None again, and the fitted state stays."""
    model = make_pipeline(RandomForestClassifier(n_estimators=2))
    injected = inject_seeds(model, lambda path: 3)
    model.fit(np.arange(8.0).reshape(4, 2), [0, 1, 0, 1])
    restore_seeds(model, injected)
    assert model.get_params()["randomforestclassifier__random_state"] is None
    assert len(model[-1].estimators_) == 2


def test_injected_seeds_repeat_a_fit():
    """Two fits with seeds of one derivation give the same trees."""
    X, y = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
    scores = []
    for _ in range(2):
        model = RandomForestClassifier(n_estimators=3)
        inject_seeds(model, lambda path: derive_seed(1, path))
        scores.append(model.fit(X, y).predict_proba(X))
    np.testing.assert_array_equal(*scores)
