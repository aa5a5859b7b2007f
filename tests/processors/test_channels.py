"""Processors of single channels, and chains of processors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from etl_ray import (
    BaseProcessor,
    CandlesProcessor,
    Level2Processor,
    NDJSONReader,
    ProcessorChain,
    RawParser,
    TickerProcessor,
    TradesProcessor,
)
from etl_ray.errors import ConfigError, SchemaError
from etl_ray.tables import DELIVERED, Numbers

PROCESSORS: dict[str, type[BaseProcessor]] = {
    "level2": Level2Processor,
    "market_trades": TradesProcessor,
    "ticker": TickerProcessor,
    "candles": CandlesProcessor,
}


def parsed(wire_dir: Path, numbers: Numbers = "float64") -> list[pa.RecordBatch]:
    return list(RawParser(numbers=numbers).process(NDJSONReader().read(str(wire_dir))))


def rows(batches: Iterator[pa.RecordBatch]) -> list[dict[str, object]]:
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("table", PROCESSORS)
def test_a_processor_takes_its_table_out_of_the_stream(table: str, numbers: Numbers, wire_dir: Path) -> None:
    stream = parsed(wire_dir, numbers)
    own = [batch for batch in stream if batch.schema.metadata[b"etl_ray.table"] == table.encode()]
    found = list(PROCESSORS[table]().process(iter(stream)))
    assert all(batch.schema.equals(DELIVERED[table].schema(numbers), check_metadata=True) for batch in found)
    assert rows(iter(found)) == rows(iter(own))
    assert rows(iter(found))


@pytest.mark.parametrize("table", PROCESSORS)
def test_rows_that_came_through_polars_get_their_schema_back(table: str, wire_dir: Path) -> None:
    own = list(PROCESSORS[table]().process(iter(parsed(wire_dir))))
    through = pl.concat([pl.from_arrow(batch) for batch in own]).to_arrow()  # type: ignore[arg-type, type-var]
    assert through.schema.metadata is None
    found = list(PROCESSORS[table]().process(iter(through.to_batches())))
    assert all(batch.schema.equals(DELIVERED[table].schema(), check_metadata=True) for batch in found)
    assert rows(iter(found)) == rows(iter(own))


def test_columns_that_do_not_fit_are_named() -> None:
    batch = pa.RecordBatch.from_pydict({"price": [1.0], "volume": [2.0]})
    with pytest.raises(SchemaError, match=r"table 'market_trades': expected the columns .*; unknown: volume"):
        list(TradesProcessor().process(iter([batch])))


def test_ticker_batch_is_left_out_on_request(wire_dir: Path) -> None:
    stream = parsed(wire_dir)
    both = rows(TickerProcessor().process(iter(stream)))
    single = rows(TickerProcessor(include_batch=False).process(iter(stream)))
    assert single == [row for row in both if not row["is_batch"]]
    assert 0 < len(single) < len(both)


class Double(BaseProcessor):
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.record_batch({"x": pc.multiply(batch.column("x"), 2)})


class Increment(BaseProcessor):
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.record_batch({"x": pc.add(batch.column("x"), 1)})


def numbers_from(*values: int) -> Iterator[pa.RecordBatch]:
    return iter([pa.record_batch({"x": [value]}) for value in values])


def test_a_chain_applies_its_processors_in_order() -> None:
    def through(*chain: BaseProcessor) -> list[object]:
        return [row["x"] for row in rows(ProcessorChain(chain).process(numbers_from(1, 5)))]

    assert through() == [1, 5]
    assert through(Double(), Increment()) == [3, 11]
    assert through(Increment(), Double()) == [4, 12]
    assert through(ProcessorChain([Increment(), Double()]), Increment()) == [5, 13]


def test_a_chain_streams() -> None:
    def endless() -> Iterator[pa.RecordBatch]:
        while True:
            yield from numbers_from(1)

    assert rows(iter([next(ProcessorChain([Double()]).process(endless()))])) == [{"x": 2}]


def test_a_chain_refuses_what_is_no_processor() -> None:
    with pytest.raises(ConfigError, match=r"expected processors with a method process\(batches\), found 'Double'"):
        ProcessorChain(["Double"])  # type: ignore[list-item]
