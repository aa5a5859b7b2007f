"""`ETLPipeline`: a reader, processors and a writer put together, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from etl_ray.errors import SchemaError
from etl_ray.processors.base import BaseProcessor
from etl_ray.processors.chain import ProcessorChain
from etl_ray.readers.base import BaseReader
from etl_ray.writers.base import BaseWriter, WriteReport


class ETLPipeline:
    """Streams batches from `reader` through `processors` to `writer`; memory is that of a few batches."""

    def __init__(self, reader: BaseReader, processors: Sequence[BaseProcessor], writer: BaseWriter) -> None:
        self._reader = reader
        self._chain = ProcessorChain(processors)
        self._writer = writer

    def execute(self, input_path: str, output_path: str, partition_cols: Sequence[str] = ()) -> WriteReport:
        """Process the whole input; what is at `output_path` already is treated as the writer says."""
        batches = self._chain.process(self._reader.read(input_path))
        return self._writer.write(_one_schema(batches), output_path, partition_cols)


def _one_schema(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches; a second schema is an error that says what to do about it."""
    first: pa.Schema | None = None
    for batch in batches:
        if first is None:
            first = batch.schema
        elif not batch.schema.equals(first):
            raise SchemaError(
                f"a pipeline writes one table, but its batches are of {_name(first)} and of {_name(batch.schema)}: "
                "give RawParser a channel, or end with the processor of one"
            )
        yield batch


def _name(schema: pa.Schema) -> str:
    table = (schema.metadata or {}).get(b"etl_ray.table")
    return f"table {table.decode()!r}" if table else f"the columns {', '.join(schema.names)}"
