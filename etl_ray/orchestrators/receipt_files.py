"""Receipts of committed units as Parquet files below OUTPUT/_etl_ray: packed, with the place of each unit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import UnitFacts
from etl_ray.readers.segments import Unit

_SCHEMA = pa.schema(
    [
        ("unit", pa.string()),
        ("content", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("facts", pa.binary()),
        ("receipt", pa.binary()),
    ]
)
_ROWS = 4096


@dataclass(frozen=True)
class CommittedUnit:
    """The place of a unit in its segment, its packed receipt, and what is asked of all receipts."""

    name: str
    content: str
    start: int
    end: int | None
    facts: UnitFacts
    receipt: bytes


def write_receipts(url: str, units: Sequence[Unit], store: ReceiptStore) -> None:
    """Write the receipts of units, in their order."""
    with storage.open_write(url) as file, pq.ParquetWriter(file, _SCHEMA, compression="none") as writer:
        for begin in range(0, len(units), _ROWS):
            rows = [
                {
                    "unit": unit.name,
                    "content": unit.content,
                    "start": unit.start,
                    "end": unit.end,
                    "facts": to_json(store.facts[unit.name]),
                    "receipt": store.packed(unit.name),
                }
                for unit in units[begin : begin + _ROWS]
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))


def read_receipts(url: str, wanted: Collection[str]) -> Iterator[CommittedUnit]:
    """Yield the units of a file that are wanted, by name."""
    try:
        with storage.open_read(url) as raw, pq.ParquetFile(raw) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group, use_threads=False).to_pylist():
                    if row["unit"] in wanted:
                        facts = from_json(UnitFacts, row["facts"], f"{storage.redact(url)}, {row['unit']}")
                        yield CommittedUnit(
                            row["unit"], row["content"], row["start"], row["end"], facts, row["receipt"]
                        )
    except pa.ArrowException as error:
        raise StorageError(f"{storage.redact(url)}: cannot be read as Parquet: {error}") from None
