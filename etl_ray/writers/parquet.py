"""Any columns into Parquet files, Hive-partitioned if asked to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.config.sections import suggest
from etl_ray.errors import ConfigError, SchemaError
from etl_ray.writers.base import BaseWriter, WriteReport
from etl_ray.writers.encodings import writer_options
from etl_ray.writers.folders import check_partition_type
from etl_ray.writers.incoming import Data, incoming
from etl_ray.writers.partitioned import Limits, PartitionedFiles
from etl_ray.writers.parts import Layout, Part, PartFiles
from etl_ray.writers.publish import Staging, refuse_existing, refuse_file, refuse_job_output

Mode = Literal["error", "overwrite"]


class ParquetWriter(BaseWriter):
    """Writes rows of any columns to part-00000.parquet, part-00001.parquet and so on, in the order of arrival.

    Row groups have `rows_per_group` rows and files `rows_per_file`, but for the last. About `max_buffered_rows` rows
    are held in memory and `max_open_files` files are open at most, whatever the number and order of partitions; what
    exceeds that goes through a temporary file.
    """

    def __init__(
        self,
        *,
        rows_per_file: int = 4_000_000,
        rows_per_group: int = 262_144,
        max_buffered_rows: int = 2_000_000,
        max_open_files: int = 256,
    ) -> None:
        for name, value in (
            ("rows_per_file", rows_per_file),
            ("rows_per_group", rows_per_group),
            ("max_buffered_rows", max_buffered_rows),
            ("max_open_files", max_open_files),
        ):
            if value < 1:
                raise ConfigError(f"expected {name} of at least 1, found {value}")
        self._rows_per_file = rows_per_file
        self._rows_per_group = min(rows_per_group, rows_per_file)
        self._limits = Limits(max_buffered_rows, max_open_files)

    def write(
        self, data: Data, output_path: str, partition_cols: Sequence[str] = (), mode: Mode = "error"
    ) -> WriteReport:
        """Write all rows of `data` below the directory `output_path`, in Hive partitions of `partition_cols`.

        Partition columns stay in the files; nulls go to `__HIVE_DEFAULT_PARTITION__`. Schema metadata is kept. No file
        appears before all are complete, so an exception, also one of `data`, leaves everything as it was. Where there
        are Parquet files already, mode "error" raises ConfigError, and "overwrite" replaces them all; `data` may be
        read from them. No rows give one file without rows, or none if partitioned or if `data` never said a schema.
        """
        if mode not in get_args(Mode):
            raise ConfigError(f"mode: expected {' or '.join(get_args(Mode))}, found {mode!r}")
        _check_names(partition_cols)
        refuse_job_output(output_path)
        refuse_file(output_path)
        if mode == "error":
            refuse_existing(output_path)
        source = incoming(data)
        with Staging(output_path) as staging:
            parts: list[Part] = []
            if source.schema is not None:
                _check_schema(source.schema, partition_cols)
                parts = self._write_parts(source.schema, source.tables, staging.url, partition_cols)
            files = [part.url for part in parts]
            urls = staging.replace(files) if mode == "overwrite" else staging.publish(files)
        return WriteReport(
            files=urls,
            rows=sum(part.rows for part in parts),
            bytes=sum(storage.file_info(url).size for url in urls),
        )

    def _write_parts(
        self, schema: pa.Schema, tables: Iterable[pa.Table], root: str, partition_cols: Sequence[str]
    ) -> list[Part]:
        layout = Layout(schema, rows_per_group=self._rows_per_group, rows_per_file=self._rows_per_file)
        if partition_cols:
            with PartitionedFiles(root, layout, partition_cols, self._limits) as partitions:
                return partitions.write(tables)
        with PartFiles(root, layout) as files:
            for table in tables:
                files.add(table)
                files.write_groups()
            files.finish()
            if not files.parts:
                files.write_empty()
            return files.parts


def _check_names(partition_cols: Sequence[str]) -> None:
    if isinstance(partition_cols, str) or not all(isinstance(name, str) for name in partition_cols):
        raise ConfigError(f"partition_cols: expected a list of names, found {partition_cols!r}")
    if len(set(partition_cols)) < len(partition_cols):
        raise ConfigError(f"partition_cols: expected each name once, found {', '.join(partition_cols)}")


def _check_schema(schema: pa.Schema, partition_cols: Sequence[str]) -> None:
    for name in partition_cols:
        if name not in schema.names:
            raise ConfigError(f"partition_cols: unknown column {name!r}; {suggest(name, tuple(schema.names))}")
        check_partition_type(name, schema.field(name).type)
    for field in schema:
        alone = pa.schema([field])
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), alone, **writer_options(alone)).close()
        except (pa.ArrowException, OSError) as error:
            raise SchemaError(f"column {field.name!r}: Parquet cannot hold {field.type}: {error}") from None
