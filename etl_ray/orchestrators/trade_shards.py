"""Where trades are cut: each shard has a range of ids of a product, so that all copies of a trade meet in one."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from etl_ray.orchestrators.receipts import StagedGroup
from etl_ray.orchestrators.shards import Piece, Shard, Source

NO_ID = -1


@dataclass(frozen=True)
class TradeShard:
    """The trades of `pieces`, all of one product, with ids from `first_id` to before `end_id` (NO_ID: no end).

    `number` counts the shards of the directories that it may write to. `first_update_id` is the least id of the product
    that an update has delivered (NO_ID: none has), as far as that matters here, from `first_id` - 1 to
    `greatest_id` + 1. `greatest_id` is the greatest that its pieces have within the range.
    """

    product: str
    number: int
    first_id: int
    end_id: int
    first_update_id: int
    greatest_id: int
    rows: int
    sources: tuple[Source, ...]
    pieces: tuple[Piece, ...]

    def as_key(self) -> TradeShard:
        """Return the shard without what does not decide about its rows."""
        return replace(self, number=0, end_id=0)  # greatest_id says what end_id does, and stays when ids follow

    @property
    def staged(self) -> Shard:
        """What has been staged of it: rows of all ids, in arrival order."""
        return Shard(
            table="market_trades",
            directory=f"market_trades of {self.product}",
            number=self.number,
            partition_cols=("product_id",),
            partition=(self.product,),
            rows=self.rows,
            sources=self.sources,
            pieces=self.pieces,
        )


@dataclass
class StagedTrades:
    """The row groups of a product's trades, in arrival order, as columns of 8 bytes each."""

    sources: array[int] = field(default_factory=lambda: array("q"))
    groups: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    least: array[int] = field(default_factory=lambda: array("q"))
    greatest: array[int] = field(default_factory=lambda: array("q"))
    first_update_id: int = NO_ID

    def add(self, source: int, index: int, group: StagedGroup) -> None:
        """Append the `index`-th row group of a source."""
        ids = group.ids
        if ids is None:
            raise AssertionError("a row group of trades without its ids")
        self.sources.append(source)
        self.groups.append(index)
        self.rows.append(group.rows)
        self.least.append(ids.least)
        self.greatest.append(ids.greatest)
        if ids.least_update is not None:
            known = self.first_update_id
            self.first_update_id = ids.least_update if known == NO_ID else min(known, ids.least_update)


def cut_trades(
    product: str,
    found: StagedTrades,
    sources: Sequence[Source],
    *,
    rows_per_file: int,
    number: int,
    bounds: Sequence[int] = (),
) -> Iterator[TradeShard]:
    """Cut a product's trades into ranges of ids that have about `rows_per_file` rows; the first shard is `number`.

    Ids of `bounds`, ascending, begin a range if there are any behind them.
    """
    order = sorted(range(len(found.rows)), key=lambda index: (found.least[index], index))
    waiting: list[int] = []
    first = 0
    rows = 0
    for position, index in enumerate(order):
        waiting.append(index)
        rows += found.rows[index]
        following = found.least[order[position + 1]] if position + 1 < len(order) else NO_ID
        ends = _bounds_between(bounds, first, following, max(found.greatest[item] for item in waiting))
        if following != NO_ID and rows >= rows_per_file and following != found.least[index]:
            ends.append(following)
        for end in dict.fromkeys(ends if following != NO_ID else [*ends, NO_ID]):
            chosen = sorted(item for item in waiting if end == NO_ID or found.least[item] < end)
            if not chosen:
                continue
            yield _shard(product, found, sources, chosen, ids=(first, end), number=number)
            number += 1
            first, rows = end, 0
            waiting = [item for item in waiting if found.greatest[item] >= end]


def _bounds_between(bounds: Sequence[int], first: int, following: int, greatest: int) -> list[int]:
    """Return the bounds behind `first` up to the least id that follows; at the end those that have ids behind them."""
    begin = bisect_right(bounds, first)
    end = bisect_right(bounds, greatest if following == NO_ID else following)
    return list(bounds[begin:end])


def _shard(
    product: str,
    found: StagedTrades,
    sources: Sequence[Source],
    chosen: Sequence[int],
    *,
    ids: tuple[int, int],
    number: int,
) -> TradeShard:
    used = tuple(dict.fromkeys(found.sources[index] for index in chosen))
    position = {source: k for k, source in enumerate(used)}
    first_id, end_id = ids
    greatest = max(found.greatest[index] for index in chosen)
    if end_id != NO_ID:
        greatest = min(greatest, end_id - 1)
    first_update_id = found.first_update_id
    if first_update_id != NO_ID:
        first_update_id = min(max(first_update_id, first_id - 1), greatest + 1)
    return TradeShard(
        product=product,
        number=number,
        first_id=first_id,
        end_id=end_id,
        first_update_id=first_update_id,
        greatest_id=greatest,
        rows=sum(found.rows[index] for index in chosen),
        sources=tuple(sources[source] for source in used),
        pieces=tuple(Piece(position[found.sources[index]], found.groups[index]) for index in chosen),
    )
