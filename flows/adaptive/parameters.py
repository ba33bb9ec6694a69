"""The parameters of the adaptive flows as a table, from which each flow has its signature and help texts.

Rule: flat, JSON-able and told in one sentence each: the run form in the UI is made of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect_tune.flows import forms
from prefect_tune.results import AdaptiveResult


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the flows: its name, default, annotation and help text."""

    name: str
    default: Any
    annotation: Any
    help: str


REQUIRED = inspect.Parameter.empty

FIRST = (
    Parameter(
        "estimator",
        REQUIRED,
        forms.Estimator,
        'A scikit-learn estimator, or {"class": "dotted.Name", "params": {...}}.',
    ),
    Parameter(
        "parameters",
        REQUIRED,
        forms.Space,
        "Parameter name to distribution or list of values, or a list of such spaces.",
    ),
    Parameter(
        "X",
        REQUIRED,
        forms.Data,
        "Data: arrays, frames, sparse matrices, dask collections, the path of a Parquet file or folder, or a "
        "saved block, such as parquet-data/NAME.",
    ),
    Parameter("y", None, forms.Target, "Target: like X, or the name of a column."),
)
PLATEAU = (
    Parameter(
        "patience",
        False,
        forms.Patience,
        "Stop a candidate whose score has not risen for so many units; false: off.",
    ),
    Parameter("tol", 0.001, float | None, "How much the score must have risen."),
)
HYPERBAND = (
    Parameter("max_iter", 81, forms.AtLeastOne, "Units of the resource that no candidate exceeds."),
    Parameter("aggressiveness", 3, forms.FactorOfTwo, "Factor between rungs, at least 2."),
    Parameter("brackets", None, forms.Brackets, "Brackets of your own: a list of [candidates, first units]."),
    Parameter(
        "bracket_sizes", "jmlr", forms.BracketSizes, "Which published sizes: jmlr, jmlr-table or upward."
    ),
)
HALVING = (
    Parameter(
        "n_initial_parameters",
        10,
        forms.HowMany,
        'Number of candidates to draw, or "grid" for all of a grid.',
    ),
    Parameter(
        "n_initial_iter", None, int | None, "Units before the first comparison. Default: from max_iter."
    ),
    Parameter("max_iter", None, int | None, "Units that no candidate exceeds. Default: as the rungs come."),
    Parameter("aggressiveness", 3, forms.FactorOfTwo, "Factor between rungs, at least 2."),
)
INCREMENTAL = (
    Parameter(
        "n_initial_parameters",
        10,
        forms.HowMany,
        'Number of candidates to draw, or "grid" for all of a grid.',
    ),
    Parameter("max_iter", 100, forms.AtLeastOne, "Units of the resource that each candidate gets at most."),
    Parameter("fits_per_score", 1, forms.AtLeastOne, "Units between two scores."),
)
DECAY = (
    *INCREMENTAL,
    Parameter("decay_rate", 1.0, float, "How fast candidates are dropped."),
)
COMMON = (
    Parameter(
        "resource",
        "partial_fit",
        str,
        "What a unit is: partial_fit (a call on one chunk), epochs, n_samples, or an integer parameter.",
    ),
    Parameter(
        "columns", None, forms.Columns, "For Parquet the feature columns. Default: all but the others."
    ),
    Parameter(
        "chunk_size",
        None,
        int | None,
        "Rows of a chunk. Default: data in memory is one chunk, a file is one.",
    ),
    Parameter(
        "test_size",
        None,
        float | None,
        "Share of each chunk that is scored. Default: 0.2 or one part in as many as there are "
        "chunks; 0.05 of Parquet data.",
    ),
    Parameter(
        "cv",
        None,
        forms.Folds,
        "Number of folds, or a splitter for data in memory; scores are means over the folds.",
    ),
    Parameter(
        "validation",
        None,
        forms.Validation,
        "A pair (X, y) that is scored instead; then all rows of X train.",
    ),
    Parameter(
        "random_state",
        None,
        forms.Seed,
        "Seed of candidates, split and order. Default: derived from seed, so that a second run repeats.",
    ),
    Parameter("scoring", None, forms.Scoring, "A scorer name, a list or dict of them, or a callable."),
    Parameter(
        "refit",
        False,
        forms.Refit,
        "True trains the best once more on all rows; with several metrics the name of the one that ranks.",
    ),
    Parameter(
        "approve",
        False,
        forms.Approve,
        "Seconds to wait for a person's approval before the best model is made; true: an hour.",
    ),
    Parameter(
        "error_score",
        None,
        forms.ErrorScore,
        'Score of a failed candidate in the table; "raise" stops at the first. Default: not a number.',
    ),
    Parameter(
        "fit_params", None, forms.Arguments, "Arguments of partial_fit, such as classes and sample_weight."
    ),
    Parameter(
        "prefix_rows",
        None,
        int | None,
        "Training rows on which the steps before the last are fitted. Default: all.",
    ),
    Parameter(
        "keep_checkpoints",
        None,
        forms.KeptCheckpoints,
        "Number of candidates whose checkpoints stay when the search is over, or "
        '{"per_candidate": ..., "per_search": ...}. Default: all, so that a larger search trains nothing '
        "again.",
    ),
    Parameter(
        "step_seconds",
        None,
        float | None,
        "The longest that one call of partial_fit, fit, transform or scoring may take. With a limit, they "
        "run in processes that can be killed.",
    ),
    Parameter(
        "step_memory",
        None,
        forms.Memory,
        'The most memory that one of them may take, such as "2 GiB".',
    ),
    Parameter("seed", 0, forms.FromZero, "Fills every random_state=None, by derivation."),
)
PLACES = (
    Parameter(
        "store",
        None,
        forms.Store,
        "Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.",
    ),
    Parameter(
        "cluster",
        None,
        forms.Cluster,
        'Address of a Dask scheduler, dask-cluster/NAME, or {"class": ..., "kwargs": ...}. Default: the '
        "cluster of the enclosing flow, else local workers.",
    ),
    Parameter("n_workers", None, int | None, "Number of local workers. Default: all cores."),
    Parameter(
        "resources",
        None,
        forms.Resources,
        'Dask resources of the step that is trained, such as {"clf": {"GPU": 1}}.',
    ),
    Parameter("worker_resources", None, forms.Arguments, "Dask resources that each local worker offers."),
    Parameter("verbose", 1, forms.Verbosity, "0 is silent, 1 shows progress, 2 the result too."),
)


def signature_of(parameters: tuple[Parameter, ...]) -> inspect.Signature:
    """The signature of a flow; what comes first may be positional."""
    first = {p.name for p in FIRST}
    kinds: Mapping[bool, Any] = {
        True: inspect.Parameter.POSITIONAL_OR_KEYWORD,
        False: inspect.Parameter.KEYWORD_ONLY,
    }
    return inspect.Signature(
        [
            inspect.Parameter(p.name, kinds[p.name in first], default=p.default, annotation=p.annotation)
            for p in parameters
        ],
        return_annotation=AdaptiveResult,
    )
