"""Saved configuration: what is set up once and used by many searches, by name.

Rule 1: imported by the Prefect server and worker at start, so it stays light: what a block needs for its
        work is imported when it works.
Rule 2: slugs and the order of fields are for ever. A new field goes last and has a default.
Rule 3: what is secret is a secret field. Flow runs get a block's name, never what is in it.
"""

from __future__ import annotations

from prefect_tune.blocks.dask_cluster import DaskCluster, WorkerGroup
from prefect_tune.blocks.data import CsvData, ParquetData, SqlQuery
from prefect_tune.blocks.search_spec import SearchSpec
from prefect_tune.blocks.step_store import StepStore

__all__ = ["CsvData", "DaskCluster", "ParquetData", "SearchSpec", "SqlQuery", "StepStore", "WorkerGroup"]
