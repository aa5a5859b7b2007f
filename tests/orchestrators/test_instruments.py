"""Versions of a product's terms, found in status rows."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from etl_ray.orchestrators.instruments import instruments
from etl_ray.orchestrators.selection import Selection
from etl_ray.tables import INSTRUMENTS, STATUS, Numbers
from tests.orchestrators.outputs import plain_rows

NS = 1_000_000_000
T0 = 1_764_165_600 * NS  # 2025-11-26T14:00:00Z
EVERYTHING = Selection(channels=("status",))


def status(
    product: str,
    line: int,
    *,
    seconds: int = 0,
    segment: str = "s1.ndjson",
    state: str | None = "online",
    tick: str | None = "0.01",
    numbers: Numbers = "float64",
) -> dict[str, object]:
    """Return a status row whose only terms that matter are tick and state."""
    number = Decimal if numbers == "decimal" else float
    row = dict.fromkeys(STATUS.names)
    row.update(
        product_id=product,
        date="2025-11-26",
        ts_server=T0 + seconds * NS,
        sequence_num=line,
        base_increment=number("0.00000001"),
        quote_increment=None if tick is None else number(tick),
        status=state,
        is_snapshot=False,
        connection_id="s1.ndjson:1",
        segment=segment,
        line=line,
        event_index=0,
        row_index=0,
    )
    return row


def table(*rows: dict[str, object], numbers: Numbers = "float64") -> pa.Table:
    schema = STATUS.schema(numbers)
    return pa.Table.from_arrays(
        [pa.array([row[field.name] for row in rows], field.type) for field in schema], schema=schema
    )


def found(*tables: pa.Table, selection: Selection = EVERYTHING) -> list[tuple[object, ...]]:
    versions = instruments(iter(tables), selection, "float64")
    return [
        (row["product_id"], row["segment"], row["line"], row["tick_size"], row["status"])
        for row in plain_rows(versions)
    ]


def test_a_version_begins_with_the_first_status_and_with_every_change() -> None:
    rows = table(
        status("BTC-USD", 1),
        status("BTC-USD", 2),
        status("BTC-USD", 3, state="cancel_only"),
        status("BTC-USD", 4, state="cancel_only"),
        status("BTC-USD", 5),
        status("BTC-USD", 6, state=None),
        status("BTC-USD", 7, tick=None, state=None),
    )
    assert found(rows) == [
        ("BTC-USD", "s1.ndjson", 1, 0.01, "online"),
        ("BTC-USD", "s1.ndjson", 3, 0.01, "cancel_only"),
        ("BTC-USD", "s1.ndjson", 5, 0.01, "online"),
        ("BTC-USD", "s1.ndjson", 6, 0.01, None),
        ("BTC-USD", "s1.ndjson", 7, None, None),
    ]


def test_terms_are_remembered_over_pieces_and_segments() -> None:
    pieces = [
        table(status("BTC-USD", 9), status("ETH-USD", 9)),
        table(status("BTC-USD", 1, segment="s2.ndjson"), status("SOL-USD", 1, segment="s2.ndjson")),
        table(status("ETH-USD", 2, segment="s2.ndjson", tick="0.1")),
    ]
    assert found(*pieces) == [
        ("BTC-USD", "s1.ndjson", 9, 0.01, "online"),
        ("ETH-USD", "s1.ndjson", 9, 0.01, "online"),
        ("SOL-USD", "s2.ndjson", 1, 0.01, "online"),
        ("ETH-USD", "s2.ndjson", 2, 0.1, "online"),
    ]


def test_versions_are_sorted_by_place_then_product_and_stay_in_arrival_order_among_equals() -> None:
    rows = table(
        status("ETH-USD", 2),
        status("BTC-USD", 2, state="offline"),
        status("BTC-USD", 2, state="auction"),
        status("BTC-USD", 2, state="online"),
        status("AAA-USD", 10),
    )
    assert found(rows) == [
        ("BTC-USD", "s1.ndjson", 2, 0.01, "offline"),
        ("BTC-USD", "s1.ndjson", 2, 0.01, "auction"),
        ("BTC-USD", "s1.ndjson", 2, 0.01, "online"),
        ("ETH-USD", "s1.ndjson", 2, 0.01, "online"),
        ("AAA-USD", "s1.ndjson", 10, 0.01, "online"),
    ]


def test_selection_limits_what_is_written_not_what_is_found() -> None:
    rows = table(
        status("BTC-USD", 1, seconds=0),
        status("ETH-USD", 1, seconds=0),
        status("BTC-USD", 2, seconds=10),
        status("BTC-USD", 3, seconds=20, state="offline"),
        status("BTC-USD", 4, seconds=30),
    )
    products = Selection(("status",), products=("ETH-USD", "NO-SUCH"))
    assert found(rows, selection=products) == [("ETH-USD", "s1.ndjson", 1, 0.01, "online")]
    # Line 2 is the first in range, but its terms are not new: valid_from would be wrong.
    later = Selection(("status",), start_ns=T0 + 10 * NS, end_ns=T0 + 30 * NS)
    assert found(rows, selection=later) == [("BTC-USD", "s1.ndjson", 3, 0.01, "offline")]
    assert found(rows, selection=Selection(("status",), end_ns=T0)) == []


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_whole_rows_have_the_columns_of_the_table(numbers: Numbers) -> None:
    versions = instruments(iter([table(status("BTC-USD", 3, numbers=numbers), numbers=numbers)]), EVERYTHING, numbers)
    assert versions.schema.equals(INSTRUMENTS.schema(numbers), check_metadata=True)
    number = Decimal if numbers == "decimal" else float
    assert plain_rows(versions) == [
        {
            "product_id": "BTC-USD",
            "valid_from": T0,
            "product_type": None,
            "base_currency": None,
            "quote_currency": None,
            "tick_size": number("0.01"),
            "lot_size": number("0.00000001"),
            "min_market_funds": None,
            "display_name": None,
            "status": "online",
            "status_message": None,
            "segment": "s1.ndjson",
            "line": 3,
        }
    ]


def test_no_status_gives_no_rows() -> None:
    versions = instruments(iter([]), EVERYTHING, "float64")
    assert versions.num_rows == 0
    assert versions.schema.equals(INSTRUMENTS.schema(), check_metadata=True)
