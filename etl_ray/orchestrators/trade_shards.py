"""Where trades are cut: each shard has a range of ids of a product, so that all copies of a trade meet in one."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from etl_ray.orchestrators.receipts import StagedGroup
from etl_ray.orchestrators.shards import Piece, Shard, Source

NO_ID = -1


@dataclass(frozen=True)
class TradeShard:
    """The trades of `pieces`, all of one product, with ids from `first_id` to before `end_id` (NO_ID: no end).

    `number` counts the shards of the directories that it may write to. `first_update_id` is the least id of the product
    that an update has delivered (NO_ID: none has).
    """

    product: str
    number: int
    first_id: int
    end_id: int
    first_update_id: int
    rows: int
    sources: tuple[Source, ...]
    pieces: tuple[Piece, ...]

    @property
    def staged(self) -> Shard:
        """What has been staged of it: rows of all ids, in arrival order."""
        return Shard(
            table="market_trades",
            path=f"market_trades of {self.product}",
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
    product: str, found: StagedTrades, sources: Sequence[Source], *, rows_per_file: int, number: int
) -> Iterator[TradeShard]:
    """Cut a product's trades into ranges of ids that have about `rows_per_file` rows; the first shard is `number`."""
    order = sorted(range(len(found.rows)), key=lambda index: (found.least[index], index))
    waiting: list[int] = []
    first = 0
    rows = 0
    for position, index in enumerate(order):
        waiting.append(index)
        rows += found.rows[index]
        following = found.least[order[position + 1]] if position + 1 < len(order) else NO_ID
        if following != NO_ID and (rows < rows_per_file or following == found.least[index]):
            continue
        yield _shard(product, found, sources, sorted(waiting), ids=(first, following), number=number)
        number += 1
        first, rows = following, 0
        waiting = [item for item in waiting if found.greatest[item] >= following]


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
    return TradeShard(
        product=product,
        number=number,
        first_id=ids[0],
        end_id=ids[1],
        first_update_id=found.first_update_id,
        rows=sum(found.rows[index] for index in chosen),
        sources=tuple(sources[source] for source in used),
        pieces=tuple(Piece(position[found.sources[index]], found.groups[index]) for index in chosen),
    )
