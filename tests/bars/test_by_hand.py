"""Small tapes whose bars were worked out by hand."""

from __future__ import annotations

import math
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from etl_ray.bars import BarOptions, bars, context, parse_bar
from etl_ray.errors import SchemaError
from etl_ray.tables.bars import BARS
from tests.bars.trades import DAY_NS, END_NS, FIRST_NS, MIDNIGHT_NS, frame_of, plain, seconds, trades_of

TAPE = trades_of("""
    10  1.0  100.10  0.1  buy
    11  2.0  100.20  0.2  sell
    12  2.0  100.00  0.3  buy
    14  7.5  100.30  0.5  buy
    15 12.0  100.40  1    sell
""")


def made(text: str, trades: pl.DataFrame = TAPE, **options: object) -> dict[str, list[object]]:
    asked = BarOptions(**options)  # type: ignore[arg-type]
    return plain(bars(trades, parse_bar(text), asked, first_ns=FIRST_NS, end_ns=END_NS))


def test_time_bars_are_aligned_and_end_with_a_trade_behind_them() -> None:
    assert made("5s") == {
        "bar": ["5s", "5s"],
        "date": ["2024-08-09", "2024-08-09"],
        "ts_start": seconds(0, 5),
        "ts_end": seconds(5, 10),
        "ts_available": seconds("7.6", "12.1"),
        "open": [100.1, 100.3],
        "high": [100.2, 100.3],
        "low": [100.0, 100.3],
        "close": [100.0, 100.3],
        "volume": [0.6, 0.5],  # the floats 0.1 + 0.2 + 0.3 add up to 0.6000000000000001
        "quote_volume": [60.05, 50.15],
        "vwap": [60.05 / 0.6, 100.3],
        "trades": [3, 1],
        "buy_volume": [0.4, 0.5],
        "sell_volume": [0.2, 0.0],
        "signed_volume": [0.2, 0.5],
        "trade_imbalance": [1 / 3, 1.0],
        "first_trade_id": [10, 14],
        "last_trade_id": [12, 14],
        "ts_first_trade": seconds(1, "7.5"),
        "ts_last_trade": seconds(2, "7.5"),
        "trades_missing": [0, 1],
        "is_complete": [False, False],  # nothing before the first, 13 is missing before the second
        "realized_variance": [None, None],
        "bipower_variation": [None, None],
        "rv_n": [None, None],
        "amihud": [None, None],
        "roll_spread": [None, None],
    }


def test_tick_bars_restart_behind_missing_trades() -> None:
    found = made("tick:2")
    assert found["first_trade_id"] == [10, 12, 14]
    assert found["last_trade_id"] == [11, 12, 15]
    assert found["trades"] == [2, 1, 2]
    assert found["is_complete"] == [False, False, False]
    assert found["ts_start"] == seconds(1, 2, "7.5")
    assert found["ts_end"] == seconds(2, 2, 12)  # inclusive
    assert found["ts_available"] == seconds("2.1", "7.6", "12.1")


def test_bars_by_quantity_close_with_the_whole_trade() -> None:
    assert made("volume:0.3")["volume"] == [0.3, 0.3, 0.5, 1.0]
    assert made("volume:0.3")["is_complete"] == [False, True, False, True]
    assert made("volume:0.31")["volume"] == [0.6, 0.5, 1.0]
    assert made("dollar:30.05")["trades"] == [2, 1, 1, 1]  # 10.01 + 20.04 is not below 30.05
    assert made("dollar:30.06")["trades"] == [3, 1, 1]


def test_bars_by_size_restart_at_each_date() -> None:
    trades = trades_of("""
        1 -2 10 1 buy
        2 -1 10 1 buy
        3  0 10 1 buy
        4  1 10 1 buy
    """)
    daily, running = made("tick:3", trades), made("tick:3", trades, reset="never")
    assert daily["first_trade_id"] == [1]
    assert (daily["trades"], daily["is_complete"], daily["date"]) == ([2], [False], ["2024-08-08"])
    assert daily["ts_available"] == seconds("0.1")  # the trade that shows that the date is over
    assert (running["trades"], running["ts_end"], running["date"]) == ([3], seconds(0), ["2024-08-08"])
    assert made("tick:2", trades)["is_complete"] == [False, True]


def test_bars_of_a_new_date_may_be_complete() -> None:
    trades = trades_of("1 -1 10 1 buy\n2 0 10 1 buy\n3 1 10 1 buy")
    assert made("tick:2", trades)["is_complete"] == [False, True]


def test_a_last_bar_that_may_go_on_is_left_out() -> None:
    assert made("1h") == {name: [] for name in BARS.names if name != "product_id"}
    assert made("tick:2", TAPE[:3])["trades"] == [2]
    assert made("tick:9", TAPE[:3])["trades"] == []


def test_empty_bars_are_filled_where_no_trade_is_missing() -> None:
    trades = trades_of("""
        1  0.5  10  1    buy
        2  3.5  11  0.5  sell
        4  6.5  12  1    buy
    """)
    found = made("1s", trades, fill=True)
    assert found["ts_start"] == seconds(0, 1, 2, 3)  # 4 and 5 may have had trade 3
    assert found["open"] == found["high"] == found["low"] == found["close"] == [10.0, 10.0, 10.0, 11.0]
    assert found["volume"] == [1.0, 0.0, 0.0, 0.5]
    assert found["quote_volume"] == [10.0, 0.0, 0.0, 5.5]
    assert found["vwap"] == [10.0, None, None, 11.0]
    assert found["trades"] == [1, 0, 0, 1]
    assert found["first_trade_id"] == found["last_trade_id"] == [1, None, None, 2]
    assert found["ts_first_trade"] == seconds("0.5", None, None, "3.5")
    assert found["trade_imbalance"] == [1.0, None, None, -1.0]
    assert found["is_complete"] == [False, True, True, False]
    assert found["ts_available"] == seconds("3.6", "3.6", "3.6", "6.6")
    assert made("1s", trades)["ts_start"] == seconds(0, 3)


def test_an_empty_bar_is_complete_between_neighbours_in_any_order() -> None:
    trades = trades_of("""
        1 0.5 10 1 buy
        3 1.5 10 1 buy
        2 3.5 10 1 buy
        4 4.5 10 1 buy
    """)
    found = made("1s", trades, fill=True)
    assert found["ts_start"] == seconds(0, 1, 2, 3)
    assert found["is_complete"] == [False, True, True, True]


def test_taker_side_is_the_sign() -> None:
    trades = trades_of("1 0 10 3 buy\n2 0 10 1 sell\n3 2 10 1 buy")
    found = made("1s", trades)
    assert (found["buy_volume"], found["sell_volume"]) == ([3.0], [1.0])
    assert (found["signed_volume"], found["trade_imbalance"]) == ([2.0], [0.5])
    assert made("1s", trades.with_columns(taker_side=pl.lit("sell")))["signed_volume"] == [-4.0]


def test_variations_are_of_prices_on_a_grid() -> None:
    """Ten steps of a second; prices at their ends 10 (before), 11, 11, 12, then 12 without trades."""
    trades = trades_of("""
        1 -0.5  10  1 buy
        2  0.1   9  1 buy
        3  0.9  11  1 buy
        4  2.0  12  1 buy
        5 10.0  13  1 buy
    """)
    found = made("10s", trades, rv_step_ns=10**9)
    first, second = math.log(11 / 10), math.log(12 / 11)
    assert found["rv_n"] == [None, 10]
    assert found["realized_variance"] == [None, pytest.approx(first**2 + second**2, rel=1e-14)]
    assert found["bipower_variation"] == [None, 0.0]  # the two returns are not neighbours
    trades = trades.with_columns(pl.when(pl.col("trade_id") == 4).then(pl.col("ts_event") - 1).otherwise("ts_event"))
    moved = made("10s", trades, rv_step_ns=10**9)
    assert moved["bipower_variation"] == [None, pytest.approx(math.pi / 2 * 10 / 9 * first * second, rel=1e-14)]


def test_variation_needs_ten_returns_on_a_grid_that_fits() -> None:
    trades = trades_of("1 -1 10 1 buy\n2 1 11 1 buy\n3 90 12 1 buy")
    assert made("45s", trades)["rv_n"] == [None, 9]
    assert made("45s", trades)["realized_variance"] == [None, None]
    assert made("90s", trades)["rv_n"] == [None, 18]
    assert made("90s", trades, rv_step_ns=7 * 10**9)["rv_n"] == [None, None]
    assert made("90s", trades.with_columns(trade_id=pl.col("trade_id") * 2))["rv_n"] == [None, None]


def test_a_price_of_0_has_no_logarithm() -> None:
    trades = trades_of("1 -1 10 1 buy\n2 1 11 1 buy\n3 51 0 1 buy\n4 101 12 1 buy\n5 201 12 1 buy")
    found = made("50s", trades, fill=True)
    assert found["ts_start"] == seconds(-50, 0, 50, 100, 150)
    assert found["rv_n"] == [None, 10, None, None, 10]
    assert [value is None for value in found["realized_variance"]] == [True, False, True, True, False]
    assert [value is None for value in found["amihud"]] == [True, False, True, True, True]
    assert found["realized_variance"][-1] == found["bipower_variation"][-1] == 0.0
    nothing = trades.with_columns(price=pl.lit(0.0))
    assert made("50s", nothing, fill=True)["rv_n"] == [None] * 5


def test_an_empty_bar_waits_for_its_previous_close() -> None:
    trades = trades_of("1 -1 10 1 buy\n2 3 11 1 buy")
    late = trades.with_columns(
        ts_available=pl.when(pl.col("trade_id") == 1).then(MIDNIGHT_NS * 2).otherwise("ts_available")
    )
    assert made("1s", late, fill=True)["ts_available"] == [MIDNIGHT_NS * 2] * 4


def test_amihud_is_of_the_previous_close() -> None:
    trades = trades_of("1 0 100 1 buy\n2 1 100.01 2 buy\n4 2 100 1 buy\n5 3 100 0 buy\n6 4 100 1 buy")
    expected = math.log1p(Decimal("0.0001")) / 200.02
    assert made("1s", trades)["amihud"] == [None, pytest.approx(expected, rel=1e-14), None, None]


def bouncing(low: str, high: str, count: int = 24) -> list[str]:
    """Return orders, one a second, that sell and buy in turn."""
    return [f"{k} {k} {high if k % 2 else low} 1 {'buy' if k % 2 else 'sell'}" for k in range(count)]


def test_roll_spread_bounces_between_bid_and_ask() -> None:
    trades = trades_of("\n".join(bouncing("100.00", "100.02")))
    # 20 pairs of changes, in turn 0.02 after -0.02 and -0.02 after 0.02: both means are 0.
    expected = 2 * math.sqrt(20 * 0.02**2 / 19)
    assert made("tick:22", trades, roll=True)["roll_spread"] == [pytest.approx(expected, rel=1e-14)]
    assert made("tick:21", trades, roll=True)["roll_spread"] == [None]  # 19 pairs
    assert made("tick:22", trades)["roll_spread"] == [None]
    rising = trades_of("\n".join(f"{k} {k} {100 + k * k} 1 buy" for k in range(24)))
    assert made("tick:22", rising, roll=True)["roll_spread"] == [None]  # positive


def test_roll_spread_is_exact_beyond_64_bits() -> None:
    trades = trades_of("\n".join(bouncing("1", "100000000000001")))
    found = made("tick:22", trades, roll=True)["roll_spread"]
    assert found == [2 * math.sqrt(20 * 10**28 / 19)]


def test_a_taker_order_is_cut_at_the_edge_of_a_bar() -> None:
    lines = bouncing("100.00", "100.02", 44)
    lines[22] = "22 21 100.05 1 buy"  # one order with the trade before it, which ends the bar
    found = made("tick:22", trades_of("\n".join(lines)), roll=True)["roll_spread"]
    assert found[0] == pytest.approx(2 * math.sqrt(20 * 0.02**2 / 19), rel=1e-14)
    assert found[1] is not None


def test_fills_of_one_taker_order_are_one_price() -> None:
    lines = []
    for k in range(22):
        side, low = ("buy", 10) if k % 2 else ("sell", 12)
        lines += [f"{2 * k} {k} {low} 1 {side}", f"{2 * k + 1} {k} {low + (1 if side == 'buy' else -1)} 1 {side}"]
    found = made("tick:44", trades_of("\n".join(lines)), roll=True)
    assert found["roll_spread"] == [None]  # all orders end at 11


def test_decimals_stay_decimals() -> None:
    frame = frame_of(
        (
            (1, MIDNIGHT_NS, 5, "0.000000000000000001", "99999999999999999999", "buy"),
            (2, END_NS - 1, 6, "1", "1", "buy"),
        ),
        decimal=True,
    )
    found = made("1s", frame)
    assert found["high"] == [Decimal("1e-18")]
    assert found["volume"] == found["buy_volume"] == [Decimal("99999999999999999999")]
    assert found["quote_volume"] == [99.99999999999999999]
    doubled = pl.concat((frame[:1], frame.with_columns(pl.col("trade_id") + 1)))
    with pytest.raises(SchemaError, match="table 'bars': column 'volume': expected decimal128"):
        made("1s", doubled)


def test_large_sums_are_exact() -> None:
    """Notionals beyond 64 bits, at one scale, and sizes beyond it."""
    frame = frame_of(
        (
            (1, MIDNIGHT_NS, 5, "123456789012.345", "98765432109876.5", "buy"),
            (2, MIDNIGHT_NS, 5, "123456789012.346", "98765432109876.7", "sell"),
            (3, END_NS - 1, 6, "1", "1", "buy"),
        )
    )
    exact = sum(
        Decimal(price) * Decimal(size)
        for price, size in (("123456789012.345", "98765432109876.5"), ("123456789012.346", "98765432109876.7"))
    )
    found = made("1s", frame)
    assert found["quote_volume"] == [float(exact)]
    assert found["vwap"] == [float(exact / Decimal("197530864219753.2"))]
    assert found["trade_imbalance"] == [-0.2 / 197530864219753.2]


def test_rows_have_the_types_of_the_table() -> None:
    for decimal in (False, True):
        frame = frame_of(((1, 5, 5, "1", "1", "buy"), (2, DAY_NS, 6, "1", "1", "buy")), decimal=decimal)
        for trades in (frame, frame[:0]):
            found = bars(trades, parse_bar("1h"), BarOptions(fill=True), first_ns=FIRST_NS, end_ns=END_NS)
            assert len(found) == (24 if len(trades) else 0)
            arrow = found.with_columns(product_id=pl.lit("A")).select(BARS.names).to_arrow()
            numbers = "decimal" if decimal else "float64"
            table = BARS.conform(pa.table(arrow), numbers)
            assert table.schema.equals(BARS.schema(numbers), check_metadata=True)


def test_the_times_limit_rows() -> None:
    def starts(text: str, first: float, end: float) -> object:
        first_ns, end_ns = (MIDNIGHT_NS + int(at * 10**9) for at in (first, end))
        found = bars(TAPE, parse_bar(text), BarOptions(fill=True), first_ns=first_ns, end_ns=end_ns)
        return plain(found)["ts_start"]

    assert starts("5s", 0, 5) == seconds(0)
    assert starts("5s", 0.1, 5.1) == seconds(5)
    assert starts("5s", 5.1, 5.2) == []
    assert starts("5s", 5, 0) == []
    assert starts("tick:1", 1.5, 7.5) == seconds(2, 2)


def test_context_says_which_trades_are_needed() -> None:
    day = MIDNIGHT_NS
    assert context(parse_bar("7m"), BarOptions(), first_ns=day, end_ns=day + DAY_NS) == (
        day,
        -(-(day + DAY_NS) // (420 * 10**9)) * 420 * 10**9,
    )
    for text in ("tick:5", "volume:1", "dollar:1"):
        assert context(parse_bar(text), BarOptions(), first_ns=day + 1, end_ns=day + 2) == (day, day + DAY_NS)
        since, until = context(parse_bar(text), BarOptions(reset="never"), first_ns=day, end_ns=day + DAY_NS)
        assert (since, until) == (-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("trades", "error"),
    [
        (TAPE.drop("size", "price"), r"expected the columns .*, found none called \['price', 'size'\]"),
        (
            TAPE[::-1],
            r"expected each trade_id once, in order of \(ts_event, trade_id\), found \(.*, 14\) behind \(.*, 15\)",
        ),
        (pl.concat((TAPE[:1], TAPE[:1])), r"expected each trade_id once.*, 10\) behind \(.*, 10\)"),
        (TAPE.with_columns(price=pl.lit(None, pl.Float64)), r"expected no null, found some in \['price'\]"),
        (TAPE.with_columns(size=pl.lit(-1.5)), r"expected no size below 0, found -1\.5"),
    ],
)
def test_trades_that_do_not_fit_are_refused(trades: pl.DataFrame, error: str) -> None:
    with pytest.raises(ValueError, match=f"^trades: {error}"):
        bars(trades, parse_bar("1m"), BarOptions(), first_ns=FIRST_NS, end_ns=END_NS)
