"""level2 events as text: this is where nearly all bytes of a sample come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from etl_ray.sample.clock import server_text
from etl_ray.sample.instruments import Instrument, fraction_template
from etl_ray.sample.market import Market
from etl_ray.sample.shapes import Shape

# Prices repeat, sizes do not: a table of price texts pays, as long as it stays small.
_MOST_PRICES = 1 << 16


class LevelWriter:
    """Write the level2 events of one product in one shape, spacing included; `comma` separates events."""

    def __init__(self, market: Market, shape: Shape) -> None:
        self._market = market
        self._zero_time = shape.zero_time
        head = shape.respace(f'{{"type":"\0","product_id":{market.instrument.product_json},"updates":[').split("\0")
        self._snapshot_head, self._update_head = "snapshot".join(head), "update".join(head)
        level = '{"side":"\0","event_time":"\0","price_level":"\0","new_quantity":"\0"},{'
        before_side, before_time, self._before_price, before_size, end = shape.respace(level).split("\0")
        self._opens = tuple(f"{before_side}{side}{before_time}" for side in ("bid", "offer"))
        self._end, self.comma = '"}', end[len('"}') : -1]
        self._prices = _PriceTexts(market.instrument, end=before_size)
        self._sizes = fraction_template(market.instrument.size_decimals)
        self._lots_per_unit = 10**market.instrument.size_decimals

    def snapshot(self) -> str:
        """Return the event of the whole book, the best levels first."""
        bids, asks = self._market.book.keys
        return f"{self._snapshot_head}{self._levels(self._zero_time, (bids[::-1], asks[::-1]))}]}}"

    def update(self) -> str:
        """Return the event of the levels that the last tick touched: new sizes, 0 for those that are gone."""
        touched = self._market.book.touched
        sides = ([key for key in touched if key > 0], [key for key in touched if key < 0])
        return f"{self._update_head}{self._levels(server_text(self._market.event_ns), sides)}]}}"

    def _levels(self, event_time: str, sides: Iterable[Sequence[int]]) -> str:
        prices, sizes, lots_per_unit, lots = self._prices, self._sizes, self._lots_per_unit, self._market.book.sizes.get
        texts = []
        for side_open, keys in zip(self._opens, sides, strict=True):
            if not keys:
                continue
            before = f"{side_open}{event_time}{self._before_price}"
            levels = [
                prices[key] + (sizes % divmod(lots(key, 0), lots_per_unit)).rstrip("0").rstrip(".") for key in keys
            ]
            texts.append(before + f"{self._end}{self.comma}{before}".join(levels) + self._end)
        return self.comma.join(texts)


class _PriceTexts(dict[int, str]):
    """Texts from the price to the size of a level, by book key, made when first asked for."""

    def __init__(self, instrument: Instrument, *, end: str) -> None:
        super().__init__()
        self._instrument = instrument
        self._end = end

    def __missing__(self, key: int) -> str:
        if len(self) >= _MOST_PRICES:
            self.clear()
        text = self[key] = f"{self._instrument.price_text(abs(key))}{self._end}"
        return text
