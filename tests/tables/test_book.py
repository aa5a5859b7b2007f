"""The table `book`, whose columns a run chooses."""

from __future__ import annotations

from etl_ray.tables import TABLES
from etl_ray.tables.book import BookColumns, book_table, rows_at_once

LINEAGE = ("connection_id", "segment", "line")
FIRST = ("product_id", "date", "ts_event", "ts_server", "ts_capture", "ts_align", "ts_available", "sequence_num")
STATE = ("book_state", "crossed", "locked", "n_updates", "is_snapshot")


def test_the_table_that_is_listed_has_the_default_columns() -> None:
    assert TABLES["book"] is book_table(BookColumns())
    assert len(TABLES["book"].names) == 79


def test_levels_alone() -> None:
    assert book_table(BookColumns(depth=2, features=False)).names == (
        *FIRST,
        *STATE,
        *("bid_price_0", "bid_price_1", "bid_size_0", "bid_size_1"),
        *("ask_price_0", "ask_price_1", "ask_size_0", "ask_size_1"),
        *LINEAGE,
    )


def test_features_are_those_that_are_asked_for() -> None:
    asked = BookColumns(depth=1, intervals=True, imbalance=(3,), bps=(7,), notionals=(250,), ofi_levels=2)
    assert book_table(asked).names == (
        *FIRST[:2],
        *("ts_start", "ts_end", "n_messages"),
        *FIRST[2:],
        *STATE,
        *("bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0"),
        *("mid", "spread", "spread_bps", "weighted_mid", "imbalance_3", "depth_bid_7bps", "depth_ask_7bps"),
        *("sweep_bid_250", "sweep_ask_250", "ofi", "ofi_n", "ofi_missing", "ofi_level_0", "ofi_level_1"),
        *LINEAGE,
    )


def test_wide_rows_are_held_in_smaller_numbers() -> None:
    assert rows_at_once(32_768, BookColumns()) == 32_768
    wide = BookColumns(depth=1_000)
    assert rows_at_once(32_768, wide) == 32_768 * 128 // len(book_table(wide).columns) == 1_038
