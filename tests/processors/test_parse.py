"""`RawParser` yields what the job writes, line for line, from any batches of lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.config import CHANNELS, JobConfig
from etl_ray.errors import ConfigError, SchemaError
from etl_ray.job import ETLJob
from etl_ray.processors import RawParser
from etl_ray.readers.ndjson import LINES, NDJSONReader
from etl_ray.tables import DELIVERED, Numbers
from tests.reference.compare import read_output

COMPARED = (*CHANNELS, "rejects")  # all others only a whole run can know
REDUCED = ("market_trades", "candles")  # a run writes each trade and candle once
WITHOUT_BOOKS = {"level2": {"processor_options": {"reconstruct_lob": False}}}


@pytest.fixture(scope="module")
def recording(wire_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of wire fixtures, the invalid lines among them diluted by valid ones."""
    directory = tmp_path_factory.mktemp("recording")
    for path in wire_dir.glob("*.ndjson"):
        (directory / path.name).write_bytes(path.read_bytes())
    padding = (wire_dir / "market_trades_20251126.ndjson").read_bytes() * 60
    (directory / "z_20251127.ndjson").write_bytes(padding)
    return directory


def tables_of(batches: Iterator[pa.RecordBatch], numbers: Numbers = "float64") -> dict[str, pa.Table]:
    found: dict[str, list[pa.RecordBatch]] = {}
    for batch in batches:
        name = batch.schema.metadata[b"etl_ray.table"].decode()
        assert batch.schema.equals(DELIVERED[name].schema(numbers), check_metadata=True)
        found.setdefault(name, []).append(batch)
    return {name: pa.Table.from_batches(parts) for name, parts in found.items()}


def plain(table: pa.Table) -> pa.Table:
    """Return the rows without dictionaries, in arrival order."""
    columns = {
        name: table.column(name).cast(pa.string())
        if pa.types.is_dictionary(table.schema.field(name).type)
        else table.column(name)
        for name in table.column_names
    }
    order = [name for name in ("segment", "line", "event_index", "row_index") if name in columns]
    return pa.table(columns).sort_by([(name, "ascending") for name in order]).combine_chunks()


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_all_tables_are_those_of_the_job(numbers: Numbers, recording: Path, output_dir: Path) -> None:
    config = JobConfig.model_validate({"engine": "local", "numbers": numbers, "channels": WITHOUT_BOOKS})
    ETLJob(str(recording), str(output_dir), config=config).process_all()
    written = read_output(output_dir, numbers)
    found = tables_of(RawParser(numbers=numbers).process(NDJSONReader().read(str(recording))), numbers)
    assert set(found) == {name for name in COMPARED if len(written[name])}
    for name, table in found.items():
        if name in REDUCED:
            kept = plain(written[name]).select(table.column_names)
            assert 0 < len(kept) < len(table)
            assert {str(row) for row in kept.to_pylist()} < {str(row) for row in plain(table).to_pylist()}
        else:
            assert plain(table).equals(plain(written[name])), name


def test_a_channel_yields_its_table_only(recording: Path) -> None:
    lines = list(NDJSONReader().read(str(recording)))
    everything = tables_of(RawParser().process(iter(lines)))
    assert {*everything} > {"level2", "rejects", "errors"}
    for name in ("level2", "status", "rejects", "errors"):
        only = tables_of(RawParser(channel=name).process(iter(lines)))
        assert list(only) == [name]
        assert only[name].equals(everything[name])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_cut_into_batches_does_not_matter(data: st.DataObject, recording: Path) -> None:
    lines = pa.Table.from_batches(NDJSONReader().read(str(recording))).slice(0, 400).combine_chunks()
    cuts = data.draw(st.lists(st.integers(0, len(lines)), max_size=6).map(sorted))
    bounds = [0, *cuts, len(lines)]
    pieces = [lines.slice(a, b - a) for a, b in pairwise(bounds)]
    whole = tables_of(RawParser().process(iter(lines.to_batches())))
    cut = tables_of(RawParser().process(batch for piece in pieces for batch in piece.to_batches()))
    assert {name: plain(table) for name, table in cut.items()} == {name: plain(table) for name, table in whole.items()}


def test_lines_may_be_left_out_before(recording: Path) -> None:
    lines = pa.Table.from_batches(NDJSONReader().read(str(recording)))
    chosen = lines.filter(pc.match_substring(lines.column("raw").cast(pa.binary()), b'"ticker"'))
    assert 0 < len(chosen) < len(lines)
    found = tables_of(RawParser(channel="ticker").process(iter(chosen.to_batches())))["ticker"]
    whole = tables_of(RawParser(channel="ticker").process(iter(lines.to_batches())))["ticker"]
    places = ["segment", "line", "event_index", "row_index", "price"]
    assert plain(found).select(places).equals(plain(whole).select(places))


def test_rejects_that_nobody_asked_for_are_counted_in_a_warning(
    recording: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = list(NDJSONReader().read(str(recording)))
    rejects = len(tables_of(RawParser(channel="rejects").process(iter(lines)))["rejects"])
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        list(RawParser(channel="level2").process(iter(lines)))
    (record,) = caplog.records
    total = sum(len(batch) for batch in lines)
    assert record.getMessage() == (
        f"{rejects:,} of {total:,} lines were rejected; RawParser without a channel yields them as the table rejects"
    )


def test_empty_input_yields_nothing() -> None:
    assert list(RawParser().process(iter([]))) == []
    empty = pa.RecordBatch.from_pylist([], schema=LINES)
    assert list(RawParser().process(iter([empty]))) == []


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown source 'binance'; known: coinbase"):
        RawParser(source="binance")
    with pytest.raises(ConfigError, match="coinbase has no channel 'l2'; it has: level2, market_trades, ticker"):
        RawParser(channel="l2")
    batch = pa.RecordBatch.from_pydict({"raw": [b"{}"]})
    with pytest.raises(SchemaError, match="missing: segment, line, byte_offset"):
        list(RawParser().process(iter([batch])))
