"""orjson, and a list per column: what one writes when dicts are too slow. Arrow casts the strings."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tests.benchmarks.columns import FIGURES, FIRST_PLAUSIBLE_DAY
from tests.benchmarks.parse_sides.arrow_files import store
from tests.benchmarks.sides.opened import open_binary

__all__ = ["parse", "store"]

Columns = dict[str, list[object]]
_MESSAGE = ("ts_server", "ts_capture", "sequence_num", "is_snapshot")
_LEVEL = {"side": "side", "ts_event": "event_time", "price": "price_level", "quantity": "new_quantity"}
_TRADE = {
    "product_id": "product_id",
    "ts_event": "time",
    "trade_id": "trade_id",
    "price": "price",
    "size": "size",
    "side": "side",
}
_TICKER = {"product_id": "product_id", **{name: key for key, name in FIGURES.items()}}
_TYPES = {
    **dict.fromkeys(("ts_event", "ts_server", "ts_capture"), pa.timestamp("ns", "UTC")),
    **dict.fromkeys(("price", "quantity", "size", *FIGURES.values()), pa.float64()),
    "trade_id": pa.int64(),
}


def parse(segments: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each table."""
    level2: Columns = {name: [] for name in ("product_id", *_MESSAGE, *_LEVEL)}
    trades: Columns = {name: [] for name in (*_MESSAGE, *_TRADE)}
    ticker: Columns = {name: [] for name in (*_MESSAGE, "is_batch", *_TICKER)}
    for segment in segments:
        with open_binary(segment) as lines:
            for line in lines:
                message = orjson.loads(line)
                data = message["data"]
                channel = data.get("channel")  # the venue's errors have none
                if channel == "l2_data":
                    for event in data["events"]:
                        rows = event["updates"]
                        level2["product_id"] += [event["product_id"]] * len(rows)
                        _add(level2, rows, _LEVEL, message=message, event=event)
                elif channel == "market_trades":
                    for event in data["events"]:
                        _add(trades, event["trades"], _TRADE, message=message, event=event)
                elif channel in ("ticker", "ticker_batch"):
                    for event in data["events"]:
                        rows = event["tickers"]
                        ticker["is_batch"] += [channel == "ticker_batch"] * len(rows)
                        _add(ticker, rows, _TICKER, message=message, event=event)
    return {"level2": _level2(level2), "market_trades": _trades(trades), "ticker": _typed(ticker)}


def _add(columns: Columns, rows: list[dict[str, object]], keys: dict[str, str], *, message: dict, event: dict) -> None:
    n, data = len(rows), message["data"]
    columns["ts_server"] += [data["timestamp"]] * n
    columns["ts_capture"] += [message["capture_ts"]] * n
    columns["sequence_num"] += [data["sequence_num"]] * n
    columns["is_snapshot"] += [event["type"] == "snapshot"] * n
    for name, key in keys.items():
        columns[name] += [row.get(key) for row in rows]


def _typed(columns: Columns) -> pa.Table:
    # `pop` frees the lists one after the other.
    arrays = {name: pa.array(columns.pop(name)) for name in list(columns)}
    return pa.table({name: array.cast(_TYPES.get(name, array.type)) for name, array in arrays.items()})


def _level2(columns: Columns) -> pa.Table:
    rows = _typed(columns)
    first = pa.scalar(f"{FIRST_PLAUSIBLE_DAY}T00:00:00Z").cast(_TYPES["ts_event"])
    times = pc.if_else(pc.greater_equal(rows["ts_event"], first), rows["ts_event"], None)
    sides = pc.if_else(pc.equal(rows["side"], "bid"), "bid", "ask")
    return _with(_with(rows, "ts_event", times), "side", sides)


def _trades(columns: Columns) -> pa.Table:
    rows = _typed(columns)
    taker = pc.if_else(pc.equal(rows["side"], "BUY"), "sell", "buy")
    rows = rows.append_column("maker_side", pc.utf8_lower(rows["side"])).append_column("taker_side", taker)
    return rows.drop_columns("side")


def _with(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)
