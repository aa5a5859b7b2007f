"""What a table is: its columns with type, unit and meaning, its partitions and its order.

A column exists only in its table's file. Arrow schemas, `etl-ray schema` and the field metadata in Parquet all derive
from these declarations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import pyarrow as pa

from etl_ray.errors import SchemaError

Numbers = Literal["float64", "decimal"]
"""How prices and quantities are stored: `float64`, correctly rounded, or `decimal` = decimal128(38, 18), exact."""

TIME = pa.timestamp("ns", "UTC")
SYMBOL = pa.dictionary(pa.int32(), pa.string())
DECIMAL = pa.decimal128(38, 18)


@dataclass(frozen=True)
class Number:
    """The type of a price or quantity, which the run's `numbers` option turns into an Arrow type."""

    def arrow(self, numbers: Numbers) -> pa.DataType:
        """Return the Arrow type of such a column."""
        return DECIMAL if numbers == "decimal" else pa.float64()


NUMBER = Number()


@dataclass(frozen=True)
class Column:
    """One column. `unit` is empty where the value has none; `nullable` says that null is a legal value."""

    name: str
    type: pa.DataType | Number
    meaning: str
    unit: str = ""
    nullable: bool = False

    def arrow_type(self, numbers: Numbers = "float64") -> pa.DataType:
        """Return the Arrow type under the run's `numbers`."""
        return self.type.arrow(numbers) if isinstance(self.type, Number) else self.type

    def field(self, numbers: Numbers = "float64") -> pa.Field:
        """Return the Arrow field, with meaning and unit as metadata."""
        metadata = {"meaning": self.meaning, **({"unit": self.unit} if self.unit else {})}
        return pa.field(self.name, self.arrow_type(numbers), nullable=self.nullable, metadata=metadata)


@dataclass(frozen=True)
class Table:
    """One output table.

    `version` is raised whenever a column changes. `partition_cols` are the default Hive keys, in path order.
    `order` names the columns by which rows are sorted within a partition.
    """

    name: str
    version: int
    meaning: str
    columns: tuple[Column, ...]
    partition_cols: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in file order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column called `name`."""
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"table {self.name!r} has no column {name!r}; it has: {', '.join(self.names)}")

    def schema(self, numbers: Numbers = "float64") -> pa.Schema:
        """Return the Arrow schema; its metadata names the table and its version."""
        return _schema(self, numbers)

    def batch(self, columns: Mapping[str, pa.Array], numbers: Numbers = "float64") -> pa.RecordBatch:
        """Build a batch of this table from arrays that already have its types; SchemaError says what does not fit."""
        self._check_names(columns.keys())
        schema = self.schema(numbers)
        arrays = [columns[field.name] for field in schema]
        for field, array in zip(schema, arrays, strict=True):
            if array.type != field.type:
                raise SchemaError(f"{self._place(field.name)}: expected {field.type}, found {array.type}")
            self._check_nulls(field, array)
        if len({len(array) for array in arrays}) > 1:
            lengths = ", ".join(f"{name}: {len(array):,}" for name, array in zip(self.names, arrays, strict=True))
            raise SchemaError(f"table {self.name!r}: expected columns of one length, found {lengths}")
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def conform(self, table: pa.Table, numbers: Numbers = "float64") -> pa.Table:
        """Return `table` with this table's column order, types and metadata (which Polars and others drop).

        SchemaError says which column does not fit: a type that cannot become the one asked for, or a null.
        """
        self._check_names(table.column_names)
        schema = self.schema(numbers)
        return pa.Table.from_arrays([self._cast(table.column(field.name), field) for field in schema], schema=schema)

    def _cast(self, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
        self._check_nulls(field, column)
        try:
            return column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"{self._place(field.name)}: expected {field.type}, found {column.type}: {error}"
            ) from None

    def _check_nulls(self, field: pa.Field, column: pa.Array | pa.ChunkedArray) -> None:
        if column.null_count and not field.nullable:
            raise SchemaError(
                f"{self._place(field.name)}: expected no null, found {column.null_count:,} in {len(column):,} rows"
            )

    def _place(self, column: str) -> str:
        return f"table {self.name!r}: column {column!r}"

    def _check_names(self, found: Iterable[str]) -> None:
        counts = Counter(found)
        missing = [name for name in self.names if name not in counts]
        extra = sorted(counts.keys() - set(self.names))
        if missing or extra:
            raise SchemaError(
                f"table {self.name!r}: expected the columns {', '.join(self.names)}; "
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(extra) or 'none'}"
            )
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise SchemaError(
                f"table {self.name!r}: expected each column once, found {', '.join(repeated)} twice or more"
            )


@cache  # asked for with every batch
def _schema(table: Table, numbers: Numbers) -> pa.Schema:
    metadata = {"etl_ray.table": table.name, "etl_ray.version": str(table.version)}
    return pa.schema([column.field(numbers) for column in table.columns], metadata=metadata)
