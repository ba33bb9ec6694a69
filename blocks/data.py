"""The blocks that say where data comes from: Parquet, CSV, a database.

Rule 1: what is read is put into the step store once, under the digest of its content; the flow run holds the
        block's name and that reference.
Rule 2: a table is read as pandas reads it, so that the path and the block of one file give the same steps.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from prefect_tune.blocks.links import LOGO, PAGE
from prefect_tune.blocks.secrets import saved_block
from prefect_tune.errors import DataError, UserError


class _Data:
    """What the blocks of data do; no block itself, since fields of a base would come before theirs."""

    @abstractmethod
    def read(self) -> Any:
        """The data as a pandas frame, the target among its columns.

        Raises:
            DataError: it cannot be read.
        """

    def ingest(self: Any, store: Any = None) -> Any:
        """A `DataRef` to the data as it is now, put into the opened step store.

        Args:
            store: a core store; None: the default one.

        Raises:
            DataError: it cannot be read, or has no column of the target's name.
        """
        from prefect_tune.data import ingest
        from prefect_tune.errors import did_you_mean

        frame, name = self.read(), self.get_block_type_slug()
        columns = [str(column) for column in frame.columns]
        if self.target is not None and self.target not in columns:
            raise DataError(
                f"{name}: target {self.target!r} is no column.{did_you_mean(self.target, columns)} "
                f"There are: {', '.join(columns) or 'none'}."
            )
        return ingest(frame, store, name=name)


class ParquetData(_Data, Block):
    """
    A Parquet file or folder with the data of a search.

    Example:
        Load saved data and search on it:

        ```python
        from prefect_tune import grid_search
        from prefect_tune.blocks import ParquetData

        data = ParquetData.load("BLOCK_NAME")
        result = grid_search(estimator, param_grid, data)
        ```
    """

    _block_type_name: ClassVar[str | None] = "Parquet Data"
    _block_type_slug: ClassVar[str | None] = "parquet-data"
    _logo_url: ClassVar[Any] = LOGO
    _documentation_url: ClassVar[Any] = PAGE
    _description: ClassVar[str | None] = "A Parquet file or folder with the features and target of a search."

    path: str = Field(
        title="Path", description="A Parquet file or folder, or its URL, such as s3://bucket/flights."
    )
    columns: list[str] | None = Field(
        default=None,
        title="Columns",
        description="The columns that are features. Default: all but the target.",
    )
    target: str | None = Field(default=None, title="Target", description="Name of the column to predict.")

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine, which an adaptive search reads chunk by chunk."""
        return "://" not in self.path

    def read(self) -> Any:
        import pandas as pd

        wanted = _wanted(self.columns, self.target)
        if self.is_local and wanted is None:
            from prefect_tune.data import read_file

            return read_file(self.path, "parquet-data")
        try:
            filesystem, path = _place(self.path)
            return pd.read_parquet(path, columns=wanted, filesystem=filesystem)
        except (OSError, ValueError) as error:
            raise DataError(f"parquet-data: {self.path!r} cannot be read ({error}).") from error


class CsvData(_Data, Block):
    """
    A CSV file with the data of a search.

    Example:
        Load saved data and search on it:

        ```python
        from prefect_tune import grid_search
        from prefect_tune.blocks import CsvData

        data = CsvData.load("BLOCK_NAME")
        result = grid_search(estimator, param_grid, data)
        ```
    """

    _block_type_name: ClassVar[str | None] = "CSV Data"
    _block_type_slug: ClassVar[str | None] = "csv-data"
    _logo_url: ClassVar[Any] = LOGO
    _documentation_url: ClassVar[Any] = PAGE
    _description: ClassVar[str | None] = "A CSV file with the features and target of a search."

    path: str = Field(
        title="Path",
        description="A CSV file, compressed or not, or its URL, such as s3://bucket/flights.csv.",
    )
    columns: list[str] | None = Field(
        default=None,
        title="Columns",
        description="The columns that are features. Default: all but the target.",
    )
    target: str | None = Field(default=None, title="Target", description="Name of the column to predict.")
    separator: str = Field(default=",", title="Separator", description="What stands between two values.")
    dates: list[str] = Field(
        default_factory=list, title="Dates", description="Columns that are read as dates and times."
    )

    def read(self) -> Any:
        import pandas as pd

        wanted = _wanted(self.columns, self.target)
        try:
            filesystem, path = _place(self.path)
            with filesystem.open_input_stream(path) as stream:  # which also expands what is compressed
                frame = pd.read_csv(stream, sep=self.separator, parse_dates=self.dates, usecols=wanted)
        except (OSError, ValueError) as error:
            raise DataError(f"csv-data: {self.path!r} cannot be read ({error}).") from error
        return frame if wanted is None else frame[wanted]


class SqlQuery(_Data, Block):
    """
    A query whose rows are the data of a search.

    Example:
        Load a saved query and search on what it finds:

        ```python
        from prefect_tune import grid_search
        from prefect_tune.blocks import SqlQuery

        data = SqlQuery.load("BLOCK_NAME")
        result = grid_search(estimator, param_grid, data)
        ```
    """

    _block_type_name: ClassVar[str | None] = "SQL Query"
    _block_type_slug: ClassVar[str | None] = "sql-query"
    _logo_url: ClassVar[Any] = LOGO
    _documentation_url: ClassVar[Any] = PAGE
    _description: ClassVar[str | None] = (
        "A database query whose rows are the features and target of a search."
    )

    query: str = Field(
        title="Query",
        description="The SELECT statement. End it with ORDER BY: rows in another order are other data. Its "
        ":names are taken from the parameters.",
    )
    url: SecretStr | None = Field(
        default=None,
        title="URL",
        description="SQLAlchemy's URL of the database, such as postgresql+psycopg://user:password@host/name.",
    )
    connection: str | None = Field(
        default=None,
        title="Connection",
        description="Instead of the URL a saved block that has it: secret/NAME, or one with get_engine(), "
        "such as sqlalchemy-connector/NAME.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, title="Parameters", description="Values of the :names in the query."
    )
    target: str | None = Field(default=None, title="Target", description="Name of the column to predict.")

    def read(self) -> Any:
        import pandas as pd
        import sqlalchemy

        engine = self._engine()
        try:
            with engine.connect() as connection:
                return pd.read_sql_query(
                    sqlalchemy.text(self.query), connection, params=dict(self.parameters) or None
                )
        except (sqlalchemy.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
            raise DataError(f"sql-query: the query cannot be run ({_said(error)}).") from None
        finally:
            engine.dispose()

    def _engine(self) -> Any:
        """The way to the database.

        Raises:
            UserError: no URL, two, or one that SQLAlchemy cannot use.
        """
        import sqlalchemy

        if (self.url is None) == (self.connection is None):
            raise UserError("sql-query: give either url or connection.")
        url = self.url.get_secret_value() if self.url is not None else None
        if self.connection is not None:
            block = saved_block(self.connection, "sql-query: connection")
            if hasattr(block, "get_engine"):
                return block.get_engine()
            url = block.get() if hasattr(block, "get") else None
            if not isinstance(url, str):
                raise UserError(
                    f"sql-query: connection {self.connection!r} is a {type(block).__name__}; it must be a "
                    "Secret with the URL, or a block with get_engine()."
                )
        try:
            return sqlalchemy.create_engine(url)  # type: ignore[arg-type]
        except (sqlalchemy.exc.ArgumentError, ImportError) as error:
            why = f"needs the package {error.name!r}" if isinstance(error, ImportError) else "is no URL"
            raise UserError(
                f"sql-query: the URL of the database {why}; it reads dialect+driver://user:password@host/name."
            ) from None  # the cause may repeat the password


def _said(error: BaseException) -> str:
    """What the database said, without the statement and the values that libraries add to it."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "orig", None) is None:
        cause = cause.__cause__
    return str(cause.orig if cause is not None else type(error).__name__).partition("\n")[0]  # type: ignore[attr-defined]


def _wanted(columns: list[str] | None, target: str | None) -> list[str] | None:
    """The columns to read, the target last; None for all."""
    if columns is None:
        return None
    return [*columns, *([target] if target is not None and target not in columns else [])]


def _place(path: str) -> tuple[Any, str]:
    """(Arrow's file system, the path in it) of a path or URL."""
    from pathlib import Path

    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" in path:
        return FileSystem.from_uri(path)
    return LocalFileSystem(), str(Path(path).expanduser().absolute())
