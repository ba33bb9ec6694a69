"""The block that holds a search, to be run by its name."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from prefect.blocks.core import Block
from pydantic import Field

from prefect_tune.blocks.links import LOGO, PAGE
from prefect_tune.errors import UserError

REQUIRED = {
    "grid": ("estimator", "param_grid", "X"),
    "randomized": ("estimator", "param_distributions", "X"),
    "halving_grid": ("estimator", "param_grid", "X"),
    "halving_randomized": ("estimator", "param_distributions", "X"),
    "hyperband": ("estimator", "parameters", "X"),
    "successive_halving": ("estimator", "parameters", "X"),
    "incremental": ("estimator", "parameters", "X"),
    "inverse_decay": ("estimator", "parameters", "X"),
    "tune": ("objective", "space"),
}
"""What each method cannot do without."""
LARGEST = 512 * 1024
"""Bytes of JSON that Prefect takes as the parameters of one flow run."""


class SearchSpec(Block):
    """
    A search that is kept, to be run by its name.

    Example:
        Load a saved search, or run it by its name:

        ```python
        from prefect_tune.blocks import SearchSpec
        from prefect_tune.flows.saved_search import search_from_spec

        spec = SearchSpec.load("BLOCK_NAME")
        spec.check()
        result = search_from_spec("search-spec/BLOCK_NAME", overrides={"seed": 1})
        ```
    """

    _block_type_name: ClassVar[str | None] = "Search Spec"
    _block_type_slug: ClassVar[str | None] = "search-spec"
    _logo_url: ClassVar[Any] = LOGO
    _documentation_url: ClassVar[Any] = PAGE
    _description: ClassVar[str | None] = "A prefect-tune search, to be run by its name."

    method: Literal[
        "grid",
        "randomized",
        "halving_grid",
        "halving_randomized",
        "hyperband",
        "successive_halving",
        "incremental",
        "inverse_decay",
        "tune",
    ] = Field(title="Method", description="Which search it is.")
    parameters: dict[str, Any] = Field(
        title="Parameters",
        description="The parameters of that search's flow, as in a file of `prefect-tune run`: estimator, "
        "space, data, scoring and so on.",
    )

    def check(self) -> None:
        """Returns if the parameters can be those of the method's flow.

        Raises:
            UserError: what is missing, or is no JSON, all at once.
        """
        faults = [
            f"parameters have no {name!r}, which a {self.method} search needs"
            for name in REQUIRED[self.method]
            if self.parameters.get(name) is None
        ]
        if self.parameters.get("search", self.method) != self.method:
            faults.append(f"parameters say search={self.parameters['search']!r}, method is {self.method!r}")
        try:
            size = len(json.dumps(self.parameters, allow_nan=False))
        except (TypeError, ValueError) as error:
            faults.append(f"parameters are no JSON ({error})")
        else:
            if size > LARGEST:
                faults.append(
                    f"parameters have {size:,} bytes of JSON, more than the {LARGEST:,} of a flow run"
                )
        if faults:
            raise UserError(f"search-spec: {'; '.join(faults)}.")
