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
    trust: Literal["auto", "local", "data-only", "signed"] = Field(
        default="auto",
        title="Trust",
        description="Local reads pickled models, so that only you may write there; data-only never does; "
        "signed reads what a holder of the signing key stored; auto decides by who can write, and is signed "
        "with a signing key.",
    )
    size_budget: str | None = Field(
        default=None,
        title="Size Budget",
        description="Bytes, or a text such as 20 GB. When a search starts near it, what costs least to "
        "compute again for its size is dropped; nothing of the last day is.",
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
    signing_key: str | None = Field(
        default=None,
        title="Signing Key",
        description="The saved Secret block that holds the keys of a signed store, such as secret/NAME. Left "
        "out, the environment of the process is asked.",
    )

    def open(self) -> Any:
        """The core store, ready to be used.

        Raises:
            StoreUnavailable: it can be neither created nor read.
            UserError: a budget that is no size, credentials that are refused or are given for a folder, a
                signing key that is none.
        """
        from prefect_tune.store import open_store_at

        self.budget()
        name, keys = self._block_document_name, self.keys()
        told: dict[str, Any] = {"cache": self.cache, "options": self.options(), "keys": keys}
        # Other processes ask the saved block for credentials and keys again; they do not travel.
        if name and (keys or not _is_folder(self.root)):
            told["source"] = f"{self.get_block_type_slug()}/{name}"
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

    def keys(self) -> str:
        """The keys of a signed store in the clear, empty without a signing key: show them to nobody."""
        if not self.signing_key:
            return ""
        value: Any = getattr(saved_block(self.signing_key, "step-store: signing_key"), "value", None)
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        if not text or not isinstance(text, str):
            raise UserError(
                f"step-store: signing_key {self.signing_key!r} is no Secret block with a text. Save what "
                "`prefect-tune store key` prints in one."
            )
        return text

    def budget(self) -> int | None:
        """Bytes that the store may hold; None for any number.

        Raises:
            UserError: a text that is no size.
        """
        if self.size_budget is None or not self.size_budget.strip():
            return None
        return size_of(self.size_budget, "step-store: size_budget")

    def make_room(self, store: Any) -> int:
        """Bytes freed in the opened store to bring it into its budget; see the core store's `make_room`."""
        budget = self.budget()
        if budget is None or not hasattr(store, "make_room"):
            return 0
        return store.make_room(budget)


def size_of(text: str, place: str) -> int:
    """The bytes that a text such as `20 GB` or `512 KiB` means.

    Args:
        text: a number, with a unit or without.
        place: what it is for, in an error.

    Raises:
        UserError: it is no size.
    """
    plain = text.replace(",", "").replace("_", "").strip().lower()
    number = plain.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = plain[len(number) :].strip() or "b"
    try:
        return int(float(number) * UNITS[unit])
    except (ValueError, KeyError, OverflowError) as error:
        raise UserError(f"{place} must be bytes or a text such as '20 GB', got {text!r}.") from error


def options_of(name: str) -> dict[str, str]:
    """Credentials and keys of the saved store `NAME`; workers find this function by its entry point."""
    from prefect_tune.store.remote.sources import SIGNING_KEYS

    block = saved_block(f"step-store/{name}", "store")
    return {**block.options(), SIGNING_KEYS: block.keys()}


def _is_folder(root: str) -> bool:
    return "://" not in root or root.startswith("file://")


_AWS = {
    "access_key_id": ("aws_access_key_id", "minio_root_user"),
    "secret_access_key": ("aws_secret_access_key", "minio_root_password"),
    "session_token": ("aws_session_token",),
    "region": ("region_name",),
    "endpoint_url": ("endpoint_url", "aws_client_parameters.endpoint_url"),
}
"""Our name of each option, and what the blocks of prefect-aws call it."""
