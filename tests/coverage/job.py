"""The job over a recording, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob
from etl_ray.summary import RunSummary

Row = dict[str, object]


@dataclass(frozen=True)
class JobTables:
    """What a run has written, times as ns, and its summary."""

    summary: RunSummary
    output_dir: Path

    def rows(self, table: str, *columns: str) -> list[Row]:
        """Return the rows of all files, in the order of their paths; without names, all columns."""
        files = sorted((self.output_dir / table).rglob("*.parquet"))
        return [row for file in files for row in _rows(file, list(columns) or None)]

    @property
    def connections(self) -> list[Row]:
        return self.rows("connections")

    @property
    def coverage(self) -> list[Row]:
        """Return the tiles in the order of channel, product and place: files are by date."""
        keys = ("channel", "product_id", "segment_start", "line_start")
        return sorted(self.rows("coverage"), key=lambda row: tuple(row[key] for key in keys))  # type: ignore[arg-type, return-value]

    @property
    def published(self) -> dict[str, list[tuple[tuple[str, int], str]]]:
        """Return place and state of the rows of `book`, by product."""
        found: dict[str, list[tuple[tuple[str, int], str]]] = {}
        for row in self.rows("book", "product_id", "segment", "line", "book_state"):
            segment, line, state = row["segment"], row["line"], row["book_state"]
            assert isinstance(segment, str) and isinstance(line, int) and isinstance(state, str)
            found.setdefault(str(row["product_id"]), []).append(((segment, line), state))
        return {product: sorted(rows) for product, rows in sorted(found.items())}


def job_tables(input_dir: Path, output_dir: Path, *, unit_bytes: int | None = None, **level2: object) -> JobTables:
    """Run the job with options of the processor of level2."""
    config = JobConfig.model_validate(
        {
            "engine": "local",
            "channels": {"level2": {"processor_options": level2}},
            "staging": {} if unit_bytes is None else {"unit_mb": unit_bytes / 1e6, "block_mb": unit_bytes / 1e6},
        }
    )
    return JobTables(ETLJob(str(input_dir), str(output_dir), config=config).process_all(), output_dir)


def _rows(file: Path, columns: list[str] | None) -> list[Row]:
    table = pq.read_table(file, partitioning=None, columns=columns)
    arrays = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.itercolumns()
    ]
    rows: list[Row] = pa.table(arrays, names=table.column_names).to_pylist()
    return rows
