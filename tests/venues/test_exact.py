"""Figures of two columns, against fractions."""

from __future__ import annotations

from decimal import Context, Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.tables import DECIMAL
from etl_ray.venues.exact import Pair
from tests.reference.ticker import Figures, ticker_figures

FLOATS = st.one_of(
    st.none(),
    st.integers(0, 10**7).map(lambda cents: cents / 100),
    st.integers(0, 10**17).flatmap(lambda digits: st.integers(0, 18).map(lambda scale: float(f"{digits}e-{scale}"))),
    st.floats(0, allow_nan=False, allow_infinity=False),
)
UNSCALED = st.one_of(
    st.integers(0, 10**38 - 1), st.integers(0, 10**4), st.integers(0, 10**13).map(lambda n: n * 10**16)
)
DECIMALS = st.one_of(st.none(), UNSCALED.map(lambda digits: Decimal(digits).scaleb(-18, Context(prec=60))))


def figures(bids: list[object], asks: list[object], kind: pa.DataType) -> list[Figures]:
    """Return what a ticker with these prices implies; its day's range is that of its quote."""
    pair = Pair(pa.array(asks, kind), pa.array(bids, kind))
    names = ("mid_price", "spread", "spread_bps", "range_24h")
    arrays = (pair.mean(), pair.difference(), pair.difference_bps(), pair.difference())
    assert [array.type for array in arrays] == [kind, kind, pa.float64(), kind]
    return pa.table(dict(zip(names, arrays, strict=True))).to_pylist()


def expected(bids: list[object], asks: list[object]) -> list[Figures]:
    return [
        ticker_figures({"best_bid": bid, "best_ask": ask, "low_24h": bid, "high_24h": ask})
        for bid, ask in zip(bids, asks, strict=True)
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS), max_size=8))
def test_floats(quotes: list[tuple[object, object]]) -> None:
    bids, asks = [bid for bid, _ in quotes], [ask for _, ask in quotes]
    assert figures(bids, asks, pa.float64()) == expected(bids, asks)


@settings(deadline=None)
@given(st.lists(st.tuples(DECIMALS, DECIMALS), max_size=8))
def test_decimals(quotes: list[tuple[object, object]]) -> None:
    bids, asks = [bid for bid, _ in quotes], [ask for _, ask in quotes]
    assert figures(bids, asks, DECIMAL) == expected(bids, asks)


@pytest.mark.parametrize("kind", [pa.float64(), DECIMAL])
def test_slices(kind: pa.DataType) -> None:
    make = float if kind == pa.float64() else Decimal
    one, other = pa.array([None, make(9), make(7), None, make(5)], kind), pa.array([make(k) for k in range(5)], kind)
    assert Pair(one.slice(1), other.slice(1)).difference().to_pylist() == [make(8), make(5), None, make(1)]
    assert Pair(one.slice(1, 2), other.slice(1, 2)).mean().to_pylist() == [make(5), make("4.5")]
    assert Pair(one.slice(5), other.slice(5)).difference_bps().to_pylist() == []


def test_differences_of_floats_are_those_of_their_decimals() -> None:
    assert 83277.26 - 83277.25 != 0.01
    assert figures([83277.25], [83277.26], pa.float64())[0]["spread"] == 0.01
