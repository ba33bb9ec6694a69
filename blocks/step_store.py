"""The block that says where steps are kept."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from prefect_tune.blocks.links import LOGO, PAGE
from prefect_tune.blocks.secrets import revealed, saved_block
from prefect_tune.errors import UserError

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
DAY = 86_400.0
AGES = (90, 60, 30, 21, 14, 7, 5, 3, 2, 1)
"""Days beyond which entries are dropped, one after the other, until a store is in its budget."""


class StepStore(Block):
    """
    Where steps are kept: a folder, or a bucket of an object storage.

    Example:
        Load a saved store and search with it:

        ```python
        from prefect_tune import grid_search
        from prefect_tune.blocks import StepStore

        store = StepStore.load("BLOCK_NAME")
        result = grid_search(estimator, param_grid, X, y, store=store)
        ```
    """

    _block_type_name: ClassVar[str | None] = "Step Store"
    _block_type_slug: ClassVar[str | None] = "step-store"
    _logo_url: ClassVar[Any] = LOGO
    _documentation_url: ClassVar[Any] = PAGE
    _description: ClassVar[str | None] = "Where prefect-tune keeps finished steps: a folder or an S3 bucket."

    root: str = Field(
        title="Root", description="A folder, or the URL of an object storage, such as s3://bucket/prefix."
    )
    trust: Literal["auto", "local", "data-only"] = Field(
        default="auto",
        title="Trust",
        description="Local reads pickled models, so that only you may write there; data-only never does; "
        "auto decides by who can write.",
    )
    size_budget: str | None = Field(
        default=None,
        title="Size Budget",
        description="Bytes, or a text such as 20 GB, above which the oldest entries are dropped when a "
        "search starts; none of the last day is.",
    )
    cache: str | None = Field(
        default=None,
        title="Cache",
        description="For an object storage, the local folder where what was read is kept.",
    )
    access_key_id: SecretStr | None = Field(
        default=None,
        title="Access Key ID",
        description="For an object storage. Left out, the environment of the process is asked.",
    )
    secret_access_key: SecretStr | None = Field(
        default=None, title="Secret Access Key", description="The other half of the access key."
    )
    session_token: SecretStr | None = Field(
        default=None, title="Session Token", description="For temporary access keys only."
    )
    region: str | None = Field(default=None, title="Region", description="The region of the bucket.")
    endpoint_url: str | None = Field(
        default=None, title="Endpoint URL", description="For a storage that is not Amazon's, its address."
    )
    credentials: str | None = Field(
        default=None,
        title="Credentials",
        description="A saved block to take the access key from instead, such as aws-credentials/NAME.",
    )

    def open(self) -> Any:
        """The core store, ready to be used.

        Raises:
            StoreUnavailable: it can be neither created nor read.
            UserError: a budget that is no size, credentials that are refused or are given for a folder.
        """
        from prefect_tune.store import open_store_at

        self.budget()
        name = self._block_document_name
        if "://" not in self.root or self.root.startswith("file://"):
            told: dict[str, Any] = {"cache": self.cache, "options": self.options()}
        else:  # other processes ask the saved block for the credentials again; they do not travel
            source = f"{self.get_block_type_slug()}/{name}" if name else ""
            told = {"cache": self.cache, "options": self.options(), "source": source}
        return open_store_at(self.root, trust=self.trust, **{k: v for k, v in told.items() if v})

    def options(self) -> dict[str, str]:
        """What an object storage asks for, secrets in the clear: hand it on, show it to nobody."""
        own = {
            "access_key_id": self.access_key_id and self.access_key_id.get_secret_value(),
            "secret_access_key": self.secret_access_key and self.secret_access_key.get_secret_value(),
            "session_token": self.session_token and self.session_token.get_secret_value(),
            "region": self.region,
            "endpoint_url": self.endpoint_url,
        }
        from_block = revealed(self.credentials, _AWS) if self.credentials else {}
        return {**from_block, **{name: value for name, value in own.items() if value}}

    def budget(self) -> int | None:
        """Bytes that the store may hold; None for any number.

        Raises:
            UserError: a text that is no size.
        """
        if self.size_budget is None or not self.size_budget.strip():
            return None
        text = self.size_budget.replace(",", "").replace("_", "").strip().lower()
        number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
        unit = text[len(number) :].strip() or "b"
        try:
            return int(float(number) * UNITS[unit])
        except (ValueError, KeyError) as error:
            raise UserError(
                f"step-store: size_budget must be bytes or a text such as '20 GB', got {self.size_budget!r}."
            ) from error

    def make_room(self, store: Any) -> int:
        """Bytes freed in the opened store, oldest entries first, until it is in its budget."""
        budget, freed = self.budget(), 0
        if budget is None or not hasattr(store, "usage") or not store.writable:
            return 0
        held = store.usage()["total"]["bytes"]
        for days in AGES:
            if held - freed <= budget:
                break
            freed += store.clear(older_than_seconds=days * DAY)
        return freed


def options_of(name: str) -> dict[str, str]:
    """What the saved store `NAME` asks of an object storage; workers find this by its entry point."""
    return saved_block(f"step-store/{name}", "store").options()


_AWS = {
    "access_key_id": ("aws_access_key_id", "minio_root_user"),
    "secret_access_key": ("aws_secret_access_key", "minio_root_password"),
    "session_token": ("aws_session_token",),
    "region": ("region_name",),
    "endpoint_url": ("endpoint_url", "aws_client_parameters.endpoint_url"),
}
"""Our name of each option, and what the blocks of prefect-aws call it."""
