"""The bridge to Ray Data, for those who want to go on there."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pyarrow as pa
import ray.data

from etl_ray.errors import ConfigError, SegmentError
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.processors.base import BaseProcessor
from etl_ray.readers.blocks import Block, read_blocks
from etl_ray.readers.segments import Unit, find_segments
from etl_ray.scan import LineParser
from etl_ray.scan.outcomes import constant
from etl_ray.tables import DELIVERED, Numbers
from etl_ray.venues import VENUES

logger = logging.getLogger(__name__)

BLOCK_BYTES = 32_000_000
MAX_LINE_BYTES = 16_000_000


def dataset_schema(channel: str, numbers: Numbers = "float64") -> pa.Schema:
    """Return the schema of `read_dataset`: the table's, without what only a whole run knows, as `connection_id`."""
    schema = DELIVERED[channel].schema(numbers)
    return schema.remove(schema.get_field_index("connection_id"))


def read_dataset(
    input: str,
    channel: str = "level2",
    *,
    source: str = "coinbase",
    numbers: Numbers = "float64",
) -> ray.data.Dataset:
    """Return the rows of a channel as a Dataset that is read lazily, one task per segment.

    `input` is a directory, glob, file or URL; `channel` a table's name. Rows of a segment are in arrival order;
    segments come in any order. Lines that are not valid are left out, and counted in a warning of the worker's log.
    """
    venue = VENUES.get(source)
    if venue is None:
        raise ConfigError(f"unknown source {source!r}; known: {', '.join(VENUES)}")
    known = [shape.table for shape in venue.shapes]
    if channel not in known:
        raise ConfigError(f"{source} has no channel {channel!r}; it has: {', '.join(known)}")
    units = [{"unit": to_json(Unit(segment))} for segment in find_segments(input)]
    dataset = ray.data.from_items(units, override_num_blocks=len(units))
    return dataset.map_batches(
        _read_units,  # type: ignore[arg-type]  # Ray's annotation knows no keyword arguments
        fn_kwargs={"channel": channel, "source": source, "numbers": numbers},
        batch_size=1,
        batch_format="pyarrow",
    )


def map_processor(dataset: ray.data.Dataset, processor: BaseProcessor) -> ray.data.Dataset:
    """Return a Dataset with a processor applied to each of its blocks: the same object that runs in-process."""
    return dataset.map_batches(
        _process_block,  # type: ignore[arg-type]  # see above
        fn_kwargs={"processor": processor},
        batch_size=None,
        batch_format="pyarrow",
    )


def _process_block(block: pa.Table, *, processor: BaseProcessor) -> Iterator[pa.Table]:
    for batch in processor.process(iter(block.to_batches())):
        yield pa.Table.from_batches([batch])


def _read_units(batch: pa.Table, *, channel: str, source: str, numbers: Numbers) -> Iterator[pa.Table]:
    schema = dataset_schema(channel, numbers)
    yield schema.empty_table()  # so that a segment without the channel has the schema too
    for item in batch["unit"].to_pylist():
        yield from _read_unit(from_json(Unit, item), schema, channel=channel, source=source, numbers=numbers)


def _read_unit(unit: Unit, schema: pa.Schema, *, channel: str, source: str, numbers: Numbers) -> Iterator[pa.Table]:
    venue = VENUES[source]
    parser = LineParser(venue, numbers, block_bytes=BLOCK_BYTES)
    lines = rejects = 0
    try:
        for block in read_blocks(unit, block_bytes=BLOCK_BYTES, max_line_bytes=MAX_LINE_BYTES):
            if not isinstance(block, Block):
                lines, rejects = lines + 1, rejects + 1
                parser.skip_line()
                continue
            for parsed in parser.parse(block.data, block.size, block.offset):
                lines, rejects = lines + parsed.lines, rejects + len(parsed.rejects)
                rows = parsed.rows.get(channel)
                if rows is not None:
                    columns = venue.assemble[channel](rows)
                    columns["segment"] = constant(unit.segment.identity, len(rows))
                    yield pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
    except SegmentError as error:
        logger.warning("%s; its lines up to there were read", error)
    if rejects:
        logger.warning("%s: %s of %s lines were rejected", unit.segment.identity, f"{rejects:,}", f"{lines:,}")
