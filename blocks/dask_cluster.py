"""The block that says where a search runs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import BaseModel, Field

from prefect_tune.blocks.links import LOGO, PAGE
from prefect_tune.errors import UserError


class WorkerGroup(BaseModel):
    """Worker processes of the local cluster that are alike, such as those with a GPU."""

    name: str = Field(
        default="", title="Name", description="What the names of its workers begin with, such as gpu."
    )
    workers: int | None = Field(
        default=None, ge=1, title="Workers", description="Number of processes. Default: one per core."
    )
    threads: int = Field(
        default=1, ge=1, title="Threads", description="Task runs that each process takes at once."
    )
    memory_limit: str | None = Field(
        default=None,
        title="Memory Limit",
        description="What a worker may hold before it spills to disk, such as 4 GiB. Default: no limit.",
    )
    resources: dict[str, float] = Field(
        default_factory=dict,
        title="Resources",
        description='Dask resources that each worker offers, such as {"GPU": 1}.',
    )
    devices: list[str] = Field(
        default_factory=list,
        title="Devices",
        description="CUDA_VISIBLE_DEVICES of each worker, in order. Default: every worker sees all.",
    )


class DaskCluster(Block):
    """
    The Dask cluster that searches run on.

    Example:
        Load a saved cluster and search on it:

        ```python
        from prefect_tune import grid_search
        from prefect_tune.blocks import DaskCluster

        cluster = DaskCluster.load("BLOCK_NAME")
        result = grid_search(estimator, param_grid, X, y, cluster=cluster)
        ```
    """

    _block_type_name: ClassVar[str | None] = "Dask Cluster"
    _block_type_slug: ClassVar[str | None] = "dask-cluster"
    _logo_url: ClassVar[Any] = LOGO
    _documentation_url: ClassVar[Any] = PAGE
    _description: ClassVar[str | None] = (
        "Where prefect-tune runs: processes of this machine, a running scheduler, or a cluster to be started."
    )

    kind: Literal["local", "address", "class"] = Field(
        default="local",
        title="Kind",
        description="Local: processes where the flow runs. Address: a scheduler that runs. Class: a cluster "
        "that is started for each search.",
    )
    groups: list[WorkerGroup] = Field(
        default_factory=list,
        title="Groups",
        description="Local: groups of workers, such as some with a GPU. Default: one worker per core.",
    )
    address: str | None = Field(
        default=None, title="Address", description="Address: that of the scheduler, such as tls://host:8786."
    )
    tls_ca_file: str | None = Field(
        default=None,
        title="TLS CA File",
        description="Address: path, where the flow runs, of the certificate authority's file.",
    )
    tls_client_cert: str | None = Field(
        default=None, title="TLS Client Certificate", description="Address: path of the client's certificate."
    )
    tls_client_key: str | None = Field(
        default=None, title="TLS Client Key", description="Address: path of the key of that certificate."
    )
    cluster_class: str | None = Field(
        default=None,
        title="Cluster Class",
        description="Class: its dotted name, such as dask_kubernetes.operator.KubeCluster. Its module must "
        "be in PREFECT_INTEGRATIONS_TUNE_ALLOWED_MODULES where the flow runs.",
    )
    cluster_kwargs: dict[str, Any] = Field(
        default_factory=dict, title="Cluster Arguments", description="Class: arguments to start it with."
    )
    secret_kwargs: SecretDict | None = Field(
        default=None,
        title="Secret Cluster Arguments",
        description="Class: more arguments, which are stored encrypted and never shown.",
    )
    adapt_minimum: int | None = Field(
        default=None, ge=0, title="Minimum Workers", description="Class: the least number of workers."
    )
    adapt_maximum: int | None = Field(
        default=None,
        ge=1,
        title="Maximum Workers",
        description="Class: the largest number of workers; with it, it grows and shrinks with the work.",
    )

    def check(self) -> None:
        """Returns if the fields fit together.

        Raises:
            UserError: all that do not, at once.
        """
        tls = [self.tls_ca_file, self.tls_client_cert, self.tls_client_key]
        adapt = [self.adapt_minimum, self.adapt_maximum]
        belongs: dict[str, dict[str, Any]] = {
            "local": {"groups": self.groups},
            "address": {
                "address": self.address,
                "tls_ca_file": tls[0],
                "tls_client_cert": tls[1],
                "tls_client_key": tls[2],
            },
            "class": {
                "cluster_class": self.cluster_class,
                "cluster_kwargs": self.cluster_kwargs,
                "secret_kwargs": self.secret_kwargs,
                "adapt_minimum": adapt[0],
                "adapt_maximum": adapt[1],
            },
        }
        faults = [
            f"{name} belongs to kind={kind!r}, but kind is {self.kind!r}"
            for kind, fields in belongs.items()
            for name, value in fields.items()
            if kind != self.kind and value not in (None, [], {})
        ]
        if self.kind == "address" and not self.address:
            faults.append("address is missing")
        if self.kind == "address" and any(tls) and not all(tls):
            faults.append("TLS needs all of tls_ca_file, tls_client_cert and tls_client_key")
        if self.kind == "class" and not self.cluster_class:
            faults.append("cluster_class is missing")
        if adapt[0] is not None and (adapt[1] is None or adapt[0] > adapt[1]):
            faults.append(f"adapt_minimum {adapt[0]} needs an adapt_maximum of at least as much")
        if faults:
            raise UserError(f"dask-cluster: {'; '.join(faults)}.")

    def form(self) -> dict[str, Any]:
        """The cluster as a flow's parameter `cluster` takes it, without the secret arguments.

        Raises:
            UserError: fields that do not fit together.
        """
        self.check()
        if self.kind == "local":
            groups = self.groups or [WorkerGroup()]
            return {"groups": [group.model_dump(exclude_defaults=True) for group in groups]}
        if self.kind == "address":
            files = {"ca": self.tls_ca_file, "cert": self.tls_client_cert, "key": self.tls_client_key}
            return {"address": self.address, **({"tls": files} if self.tls_ca_file else {})}
        adapt = {"minimum": self.adapt_minimum or 0, "maximum": self.adapt_maximum}
        return {
            "class": self.cluster_class,
            "kwargs": dict(self.cluster_kwargs),
            **({"adapt": adapt} if self.adapt_maximum else {}),
        }

    def spec(self) -> dict[str, Any]:
        """What opens the cluster: its form with the secret arguments. Hand it on, show it to nobody."""
        form = self.form()
        if self.secret_kwargs is not None:
            form["kwargs"] = {**form["kwargs"], **self.secret_kwargs.get_secret_value()}
        return form
