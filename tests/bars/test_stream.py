"""Bars of streams: in any pieces, through the processor, of mixed products."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_ray import BarsProcessor
from etl_ray.bars import BarOptions, BarStream, bars, parse_bar
from etl_ray.errors import ConfigError, SchemaError
from etl_ray.tables import LEVEL2, MARKET_TRADES
from etl_ray.tables.bars import BARS
from tests.bars.test_random_trades import FEW, MANY
from tests.bars.trades import DAY_NS, END_NS, FIRST_NS, MIDNIGHT_NS, Case, cases, frame_of, plain


def check_stream(case: Case, pieces: list[int]) -> None:
    frame = case.frame
    stream = BarStream(case.spec, case.options)
    edges = [0, *sorted(min(piece, len(frame)) for piece in pieces), len(frame)]
    found = [stream.push(frame[start:end]) for start, end in pairwise(edges)]
    nothing = bars(frame[:0], case.spec, case.options, first_ns=FIRST_NS, end_ns=END_NS)
    assert pl.concat([nothing, *(part for part in found if part is not None)]).equals(case.bars())


@FEW
@given(cases(), st.lists(st.integers(0, 90), max_size=20))
def test_any_pieces_give_the_same_bars(case: Case, pieces: list[int]) -> None:
    check_stream(case, pieces)


@pytest.mark.slow
@MANY
@given(cases(), st.lists(st.integers(0, 90), max_size=20))
def test_any_pieces_of_many_give_the_same_bars(case: Case, pieces: list[int]) -> None:
    check_stream(case, pieces)


Told = tuple[str, int, int, str, str, str]
"""Product, id, second since midnight, price, size, taker's side."""

TRADES: list[Told] = [
    ("A", 1, -70, "10", "1", "buy"),
    ("A", 2, -50, "11", "2", "sell"),
    ("B", 7, -10, "5", "1", "buy"),
    ("A", 3, 5, "12", "3", "buy"),
    ("B", 8, 61, "6", "1", "sell"),
    ("A", 4, 70, "13", "4", "buy"),
    ("A", 5, 200, "14", "5", "sell"),
]


def batches(told: list[Told], *, rows: int = 100, decimal: bool = False) -> Iterator[pa.RecordBatch]:
    """Yield rows of `market_trades`; those of A have a time of capture."""
    product, number, second, price, size, side = zip(*told, strict=True)
    trades = [
        (i, MIDNIGHT_NS + s * 10**9, 0, *rest) for i, s, *rest in zip(number, second, price, size, side, strict=True)
    ]
    maker = ["sell" if taker == "buy" else "buy" for taker in side]
    known = frame_of(tuple(trades), decimal=decimal).with_columns(
        product_id=pl.Series(product),
        date=pl.from_epoch("ts_event", time_unit="ns").dt.to_string("%Y-%m-%d"),
        ts_server=pl.col("ts_event") + 1_000,
        ts_capture=pl.when(pl.Series(product) == "A").then(pl.col("ts_event") + 5_000),
        maker_side=pl.Series(maker),
    )
    numbers = "decimal" if decimal else "float64"
    schema = MARKET_TRADES.schema(numbers)
    columns = {}
    for field in schema:
        default = pa.array([0] * len(known)).cast(field.type) if pa.types.is_integer(field.type) else None
        if field.name in known.columns:
            columns[field.name] = known[field.name].to_arrow().cast(field.type)
        elif default is not None:
            columns[field.name] = default
        elif pa.types.is_boolean(field.type):
            columns[field.name] = pa.array([False] * len(known))
        else:
            columns[field.name] = pa.array(["s"] * len(known)).cast(field.type)
    yield from MARKET_TRADES.conform(pa.table(columns), numbers).to_batches(rows)


def made(told: list[Told], *, rows: int = 100, decimal: bool = False, **options: object) -> list[pa.RecordBatch]:
    return list(BarsProcessor(**options).process(batches(told, rows=rows, decimal=decimal)))  # type: ignore[arg-type]


@pytest.mark.parametrize("decimal", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_the_processor_makes_the_bars_of_each_product(rows: int, *, decimal: bool) -> None:
    options = {"bars": ["1m", "tick:2", "volume:3"], "fill": True, "roll": True}
    found = made(TRADES, rows=rows, decimal=decimal, **options)
    schema = BARS.schema("decimal" if decimal else "float64")
    assert all(batch.schema.equals(schema, check_metadata=True) for batch in found)
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(found)))
    for product, latency in (("A", 5_000), ("B", 1_000)):
        own = [(i, s, *rest) for name, i, s, *rest in TRADES if name == product]
        trades = [(i, MIDNIGHT_NS + s * 10**9, MIDNIGHT_NS + s * 10**9 + latency, *rest) for i, s, *rest in own]
        for text in ("1m", "tick:2", "volume:3"):
            spec = parse_bar(text)
            expected = bars(
                frame_of(tuple(trades), decimal=decimal),  # type: ignore[arg-type]
                spec,
                BarOptions(fill=True, roll=True),
                first_ns=FIRST_NS,
                end_ns=END_NS,
            )
            rows_of_it = frame.filter(pl.col("product_id") == product, pl.col("bar") == spec.name)
            assert plain(rows_of_it.drop("product_id")) == plain(expected)
            assert len(expected) > 0


def test_bars_come_with_the_batch_that_ends_them() -> None:
    processor = BarsProcessor(["1m"])
    taken = []

    def watched() -> Iterator[pa.RecordBatch]:
        for batch in batches(TRADES, rows=1):
            taken.append(batch)
            yield batch

    first = next(processor.process(watched()))
    assert (len(taken), first["product_id"].to_pylist(), first.num_rows) == (2, ["A"], 1)


def test_a_stream_begins_anew_with_each_call() -> None:
    processor = BarsProcessor(["1m", "60s"], fill=True)
    runs = [[batch.num_rows for batch in processor.process(batches(TRADES))] for _ in range(2)]
    assert runs == [[7], [7]]


def test_other_tables_are_passed_over_and_bare_rows_taken() -> None:
    level2 = pa.RecordBatch.from_pylist([], schema=LEVEL2.schema())
    bare = [pa.RecordBatch.from_arrays(batch.columns, names=batch.schema.names) for batch in batches(TRADES)]
    found = list(BarsProcessor().process(iter([level2, *bare])))
    assert [batch.to_pydict() for batch in found] == [batch.to_pydict() for batch in made(TRADES)]


def test_rows_out_of_order_or_repeated_are_refused() -> None:
    with pytest.raises(SchemaError, match=r"no bars of A: trades: expected each trade_id once, in order"):
        made([TRADES[1], TRADES[0]])
    with pytest.raises(SchemaError, match=r"no bars of A: trades: expected each trade_id once, in order"):
        made([TRADES[0], TRADES[0]])


def test_columns_that_are_not_there_are_named() -> None:
    batch = next(batches(TRADES)).drop_columns(["size", "price"])
    with pytest.raises(SchemaError, match=r"bars need the columns .*; found none called \['price', 'size'\]"):
        list(BarsProcessor().process(iter([batch])))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"bars": "1m"}, r"BarsProcessor\(bars='1m'\): expected a list of bars"),
        ({"bars": []}, r"BarsProcessor\(bars=\[\]\): expected a list of bars"),
        ({"bars": ["1d"]}, "BarsProcessor: bar '1d': expected a length of time"),
        ({"reset": "hour"}, r"BarsProcessor\(reset='hour'\): expected one of day, never"),
        ({"rv_step": "0s"}, "BarsProcessor: rv_step_ns: expected at least 1 ns, found 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        BarsProcessor(**options)  # type: ignore[arg-type]


def test_what_arrived_before_a_restart_counts_no_more() -> None:
    stream = BarStream(parse_bar("tick:2"), BarOptions())
    told = ((1, 1, 900), (2, 2, 3), (3, 3, 4), (4, 4, 5), (9, 5, 6), (10, 6, 7))
    trades = frame_of(tuple((*clock, "1", "1", "buy") for clock in told))
    found = [stream.push(trades[at : at + 2]) for at in (0, 2, 4)]
    assert [plain(part)["ts_available"] for part in found if part is not None] == [[900], [900], [7]]


def test_trades_of_a_day_are_not_held() -> None:
    stream = BarStream(parse_bar("tick:10"), BarOptions(reset="never"))
    for at in range(50):
        trades = [(k, MIDNIGHT_NS + k * DAY_NS, 0, "1", "1", "buy") for k in range(10 * at, 10 * at + 10)]
        stream.push(frame_of(tuple(trades)))
        assert len(stream._held[0]) == 1
