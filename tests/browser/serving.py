"""A program: serves one deployment of grid_search and looks for its runs each second."""

from __future__ import annotations

import asyncio

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner


async def main() -> None:
    """Runs what is submitted, until it is ended."""
    runner = Runner(name="served", query_seconds=1)
    await runner.aadd_deployment(
        RunnerDeployment.from_entrypoint("prefect_tune.flows.search.grid_search", name="served")
    )
    await runner.start()


if __name__ == "__main__":
    asyncio.run(main())
