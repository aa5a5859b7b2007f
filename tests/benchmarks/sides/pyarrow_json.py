"""pyarrow: `json.read_json` with a schema of its own, lists flattened, one partitioned data set per table.

Arrow's reader takes no numbers out of strings, so these are cast. Writing all segments at once was as fast as a
`ParquetWriter` per partition that stays open, and a third faster than writing them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.json as pj

from tests.benchmarks.columns import FIGURES, FIRST_PLAUSIBLE_DAY
from tests.benchmarks.measurement import cores
from tests.benchmarks.sides.opened import open_binary

_TEXT, _TIME = pa.string(), pa.timestamp("ns", "UTC")
_LEVEL = pa.struct({"side": _TEXT, "event_time": _TIME, "price_level": _TEXT, "new_quantity": _TEXT})
_TRADE = pa.struct(
    {"product_id": _TEXT, "trade_id": _TEXT, "price": _TEXT, "size": _TEXT, "time": _TIME, "side": _TEXT}
)
_TICKER = pa.struct({"product_id": _TEXT, **dict.fromkeys(FIGURES, _TEXT)})
_EVENT = pa.struct(
    {
        "type": _TEXT,
        "product_id": _TEXT,
        "updates": pa.list_(_LEVEL),
        "trades": pa.list_(_TRADE),
        "tickers": pa.list_(_TICKER),
    }
)
_DATA = pa.struct({"channel": _TEXT, "timestamp": _TIME, "sequence_num": pa.int64(), "events": pa.list_(_EVENT)})
_PARSE = pj.ParseOptions(
    explicit_schema=pa.schema({"capture_ts": _TIME, "data": _DATA}), unexpected_field_behavior="ignore"
)
_BLOCK_BYTES = 32 << 20
_DATE_OF = {"level2": "ts_server", "market_trades": "ts_event", "ticker": "ts_server"}


def convert(segments: Sequence[str], output: str) -> None:
    """Write the tables of `segments` below `output`, one file per partition, rows in arrival order."""
    keys = ds.partitioning(pa.schema({"product_id": _TEXT, "date": _TEXT}), flavor="hive")
    written = ds.ParquetFileFormat().make_write_options(compression="zstd", compression_level=1)
    found = [tables(segment) for segment in segments]
    for name, date_of in _DATE_OF.items():
        rows = pa.concat_tables([parts.pop(name) for parts in found])
        ds.write_dataset(
            rows.append_column("date", _dates(rows[date_of])),
            f"{output}/{name}",
            partitioning=keys,
            format="parquet",
            file_options=written,
            use_threads=cores() > 1,
            preserve_order=True,
        )


def _dates(times: pa.ChunkedArray) -> pa.Array:
    """Return the days of times as text; `strftime` on every row took as long as all the rest of the writing."""
    days = pc.floor_temporal(times, unit="day").combine_chunks().dictionary_encode()
    names = pc.strftime(days.dictionary, format="%Y-%m-%d")
    return pa.DictionaryArray.from_arrays(days.indices, names).cast(_TEXT)


def tables(segment: str) -> dict[str, pa.Table]:
    """Return the rows of each table in a segment."""
    threads = cores() > 1
    with open_binary(segment) as source:
        read = pj.read_json(
            source, read_options=pj.ReadOptions(use_threads=threads, block_size=_BLOCK_BYTES), parse_options=_PARSE
        )
    found: dict[str, list[pa.Table]] = {"level2": [], "market_trades": [], "ticker": []}
    for batch in read.to_batches():
        for name, make in _MAKERS.items():
            found[name].append(make(batch))
    return {name: pa.concat_tables(parts) for name, parts in found.items()}


def _rows(batch: pa.RecordBatch, channels: Sequence[str], key: str) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """Return the entries of the list `key` by field, and, repeated for each, what their event and message say."""
    data = batch.column("data")
    kept = batch.filter(pc.is_in(pc.struct_field(data, "channel"), pa.array(channels)))
    data = kept.column("data")
    lists = pc.struct_field(data, "events")
    message, events = pc.list_parent_indices(lists), pc.list_flatten(lists)
    entries = pc.struct_field(events, key)
    event = pc.list_parent_indices(entries)
    of_event = message.take(event)
    outer = {
        "ts_server": pc.struct_field(data, "timestamp").take(of_event),
        "ts_capture": kept.column("capture_ts").take(of_event),
        "sequence_num": pc.struct_field(data, "sequence_num").take(of_event),
        "is_snapshot": pc.equal(pc.struct_field(events, "type"), "snapshot").take(event),
        "product_id": pc.struct_field(events, "product_id").take(event),
        "channel": pc.struct_field(data, "channel").take(of_event),
    }
    rows = pc.list_flatten(entries)
    return {field.name: pc.struct_field(rows, field.name) for field in rows.type}, outer


_MESSAGE = ("ts_server", "ts_capture", "sequence_num", "is_snapshot")


def _level2(batch: pa.RecordBatch) -> pa.Table:
    row, outer = _rows(batch, ["l2_data"], "updates")
    first = pa.scalar(f"{FIRST_PLAUSIBLE_DAY}T00:00:00Z").cast(_TIME)
    return pa.table(
        {
            "product_id": outer["product_id"],
            "ts_event": pc.if_else(pc.greater_equal(row["event_time"], first), row["event_time"], None),
            **{name: outer[name] for name in _MESSAGE},
            "side": pc.if_else(pc.equal(row["side"], "bid"), "bid", "ask"),
            "price": row["price_level"].cast(pa.float64()),
            "quantity": row["new_quantity"].cast(pa.float64()),
        }
    )


def _trades(batch: pa.RecordBatch) -> pa.Table:
    row, outer = _rows(batch, ["market_trades"], "trades")
    return pa.table(
        {
            "product_id": row["product_id"],
            "ts_event": row["time"],
            **{name: outer[name] for name in _MESSAGE},
            "trade_id": row["trade_id"].cast(pa.int64()),
            "price": row["price"].cast(pa.float64()),
            "size": row["size"].cast(pa.float64()),
            "maker_side": pc.utf8_lower(row["side"]),
            "taker_side": pc.if_else(pc.equal(row["side"], "BUY"), "sell", "buy"),
        }
    )


def _ticker(batch: pa.RecordBatch) -> pa.Table:
    row, outer = _rows(batch, ["ticker", "ticker_batch"], "tickers")
    return pa.table(
        {
            "product_id": row["product_id"],
            **{name: outer[name] for name in _MESSAGE},
            "is_batch": pc.equal(outer["channel"], "ticker_batch"),
            **{name: row[key].cast(pa.float64()) for key, name in FIGURES.items()},
        }
    )


_MAKERS: dict[str, Callable[[pa.RecordBatch], pa.Table]] = {
    "level2": _level2,
    "market_trades": _trades,
    "ticker": _ticker,
}
