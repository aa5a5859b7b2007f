"""`BarsProcessor`: rows of `market_trades` in, rows of `bars` out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from etl_ray.bars import BarOptions, BarSpec, BarStream, Reset, parse_bar, parse_duration_ns
from etl_ray.errors import ConfigError, SchemaError
from etl_ray.processors.base import BaseProcessor
from etl_ray.tables import DECIMAL, MARKET_TRADES, Numbers
from etl_ray.tables.bars import BARS

_NEEDED = ("product_id", "trade_id", "ts_event", "ts_server", "ts_capture", "price", "size", "taker_side")
_RESETS: tuple[Reset, ...] = ("day", "never")


class BarsProcessor(BaseProcessor):
    """Yields rows of `bars` for rows of `market_trades`: several kinds at once, such as 1m, tick:1000 or volume:10.5.

    Of each product, trades have to come in the order of (ts_event, trade_id) and each only once, as they stand in the
    table; SchemaError if they do not. Products may be mixed. A bar comes with the batch that ends it, and what has not
    ended with the last batch is left out. `fill` makes empty bars too where no trade is missing; `reset` (day or never)
    says when bars by trades, quantity or notional begin anew; `rv_step` is the grid of realized variance; `roll` asks
    for the column roll_spread. ConfigError for an option that makes no sense.
    """

    def __init__(
        self,
        bars: Sequence[str] = ("1m",),
        *,
        fill: bool = False,
        reset: Reset = "day",
        rv_step: str = "5s",
        roll: bool = False,
    ) -> None:
        if isinstance(bars, str) or not bars:
            raise ConfigError(f"BarsProcessor(bars={bars!r}): expected a list of bars, such as ['1m', 'tick:1000']")
        if reset not in _RESETS:
            raise ConfigError(f"BarsProcessor(reset={reset!r}): expected one of {', '.join(_RESETS)}")
        try:
            specs = [parse_bar(text) for text in bars]
            rv_step_ns = parse_duration_ns(rv_step)
            self._options = BarOptions(fill=fill, reset=reset, rv_step_ns=rv_step_ns, roll=roll)
        except ValueError as error:
            raise ConfigError(f"BarsProcessor: {error}") from None
        self._specs = list({spec.name: spec for spec in specs}.values())

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the bars that each batch ends, by product and kind."""
        streams: dict[str, list[BarStream]] = defaultdict(lambda: [self._stream(spec) for spec in self._specs])
        for batch in batches:
            named = (batch.schema.metadata or {}).get(b"etl_ray.table", MARKET_TRADES.name.encode()).decode()
            if named != MARKET_TRADES.name:
                continue
            found = []
            for product, trades in _by_product(batch):
                for stream in streams[product]:
                    rows = _pushed(stream, trades, product)
                    if rows is not None:
                        found.append(rows)
            if found:
                numbers: Numbers = "decimal" if batch.schema.field("price").type == DECIMAL else "float64"
                rows = pl.concat(found).select(BARS.names)
                yield from BARS.conform(rows.to_arrow(), numbers).combine_chunks().to_batches()

    def _stream(self, spec: BarSpec) -> BarStream:
        return BarStream(spec, self._options)


def _pushed(stream: BarStream, trades: pl.DataFrame, product: str) -> pl.DataFrame | None:
    try:
        rows = stream.push(trades)
    except ValueError as error:
        raise SchemaError(f"no bars of {product}: {error}") from None
    if rows is None:
        return None
    name = pl.Series("product_id", [product], dtype=pl.Categorical)
    return rows.with_columns(name.new_from_index(0, len(rows)))


def _by_product(batch: pa.RecordBatch) -> Iterator[tuple[str, pl.DataFrame]]:
    """Return the trades of each product of a batch, as bars need them."""
    missing = [name for name in _NEEDED if name not in batch.schema.names]
    if missing:
        raise SchemaError(f"bars need the columns {', '.join(_NEEDED)} of market_trades; found none called {missing}")
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch]).select(_NEEDED)))
    trades = frame.select(
        pl.col("product_id").cast(pl.String),
        "trade_id",
        pl.col("ts_event").cast(pl.Int64),
        pl.coalesce("ts_capture", "ts_server").cast(pl.Int64).alias("ts_available"),
        "price",
        "size",
        pl.col("taker_side").cast(pl.String),
    )
    for (product,), own in trades.group_by("product_id", maintain_order=True):
        yield str(product), own.drop("product_id")
