"""The largest resource, from the space's constants."""

from __future__ import annotations

import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import SearchSpace, choice, randint, resource_of


@pytest.mark.parametrize(
    ("space", "attr", "expected"),
    [
        ({"epochs": 27}, None, 27),
        ({"max_t": 9, "epochs": 27}, None, 27),
        ({"max_epochs": 5, "max_t": 9}, None, 9),
        ({"max-t": 9}, None, 9),
        ({"max-epochs": 9}, None, 9),
        ({"epochs": randint(1, 9), "max_t": 4}, None, 4),  # domains are skipped
        ({"epochs": [1, 2], "max_epochs": 4}, None, 4),
        ({"epochs": "many", "max_epochs": 4}, None, 4),
        ({"epochs": True, "max_epochs": 4}, None, 4),
        ({"epochs": 50.0, "max_epochs": 4}, None, 4),
        ({"epochs": 27, "steps": 100}, "steps", 100),
        ({"model": {"trees": 100}}, "model/trees", 100),
    ],
)
def test_resource_of(space, attr, expected):
    """The named constant, else the first of epochs, max_t, max_epochs that is a plain int constant."""
    assert resource_of(space, attr) == expected
    assert resource_of(SearchSpace(space), attr) == expected


@pytest.mark.parametrize(
    ("space", "attr", "text"),
    [
        (
            {"lr": 1},
            None,
            "max_resource: it is not given, and the space has no constant int named epochs, max_t",
        ),
        ({"epochs": randint(1, 9)}, None, "max_resource: it is not given"),
        ({"n": choice([{"epochs": 5, "x": randint(1, 2)}])}, None, "max_resource: it is not given"),
        ({"epochs": 0}, None, "epochs: the largest resource must be an int of at least 1, got 0"),
        (
            {"steps": 5},
            "stepz",
            "max_resource_attr: 'stepz' must name a constant int .* Did you mean 'steps'",
        ),
        ({"steps": randint(1, 5)}, "steps", "got a domain"),
        ({"steps": 5.0}, "steps", "must be an int of at least 1, got 5.0"),
        ({"steps": True}, "steps", "must be an int of at least 1, got True"),
    ],
)
def test_no_resource(space, attr, text):
    """Nothing to take it from: the error says what to give."""
    with pytest.raises(SpaceError, match=text):
        resource_of(space, attr)
