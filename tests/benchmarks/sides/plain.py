"""The plain way: `json.loads` a line, append a dict per row, make a table of the dicts at the end of a segment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.columns import COLUMNS, FIGURES, FIRST_PLAUSIBLE_DAY
from tests.benchmarks.sides.opened import open_binary

_TIMES = ("ts_event", "ts_server", "ts_capture")
_DATE_OF = {"level2": "ts_server", "market_trades": "ts_event", "ticker": "ts_server"}

Row = dict[str, object]


def convert(segments: Sequence[str], output: str) -> None:
    """Write the tables of `segments` below `output`, one file per segment and partition."""
    for segment in segments:
        for table, found in rows_of(segment).items():
            if found:
                _write(found, table, output=output, name=Path(segment).name.partition(".")[0])


def rows_of(segment: str) -> dict[str, list[Row]]:
    """Return the rows of each table in a segment."""
    rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}
    with open_binary(segment) as lines:
        for line in lines:
            for table, row in _rows(json.loads(line)):
                rows[table].append(row)
    return rows


def columns_of(rows: list[Row]) -> pa.Table:
    """Return rows as a table; times are cast, since Arrow keeps all nine digits, which datetime does not."""
    columns = pa.Table.from_pylist(rows)
    for column in _TIMES:
        if column in columns.column_names:
            times = columns[column].cast(pa.timestamp("ns", "UTC"))
            columns = columns.set_column(columns.column_names.index(column), column, times)
    return columns


def _rows(line: dict) -> Iterator[tuple[str, Row]]:
    data = line["data"]
    channel = data.get("channel")
    if channel not in ("l2_data", "market_trades", "ticker", "ticker_batch"):
        return
    for event in data["events"]:
        message = {
            "ts_server": data["timestamp"],
            "ts_capture": line["capture_ts"],
            "sequence_num": int(data["sequence_num"]),
            "is_snapshot": event["type"] == "snapshot",
        }
        if channel == "l2_data":
            for update in event["updates"]:
                yield "level2", _level(event["product_id"], update) | message
        elif channel == "market_trades":
            for trade in event["trades"]:
                yield "market_trades", _trade(trade) | message
        else:
            for ticker in event["tickers"]:
                yield "ticker", _ticker(ticker, is_batch=channel == "ticker_batch") | message


def _level(product_id: str, update: dict) -> Row:
    event_time = update["event_time"]
    return {
        "product_id": product_id,
        "ts_event": event_time if event_time >= FIRST_PLAUSIBLE_DAY else None,
        "side": "bid" if update["side"] == "bid" else "ask",
        "price": float(update["price_level"]),
        "quantity": float(update["new_quantity"]),
    }


def _trade(trade: dict) -> Row:
    return {
        "product_id": trade["product_id"],
        "ts_event": trade["time"],
        "trade_id": int(trade["trade_id"]),
        "price": float(trade["price"]),
        "size": float(trade["size"]),
        "maker_side": trade["side"].lower(),
        "taker_side": "sell" if trade["side"] == "BUY" else "buy",
    }


def _ticker(ticker: dict, *, is_batch: bool) -> Row:
    figures = {name: float(ticker[key]) if ticker.get(key) else None for key, name in FIGURES.items()}
    return {"product_id": ticker["product_id"], "is_batch": is_batch, **figures}


def _write(rows: list[Row], table: str, *, output: str, name: str) -> None:
    columns = columns_of(rows)
    columns = columns.append_column("date", pc.strftime(columns[_DATE_OF[table]], format="%Y-%m-%d"))
    pq.write_to_dataset(
        columns,
        f"{output}/{table}",
        partition_cols=["product_id", "date"],
        basename_template=f"{name}-{{i}}.parquet",
        compression="zstd",
        compression_level=1,
    )
