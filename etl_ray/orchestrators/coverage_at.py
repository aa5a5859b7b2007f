"""What `coverage` says of a book at an instant."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.config import suggest
from etl_ray.errors import ConfigError, NotFoundError
from etl_ray.orchestrators.manifest import Manifest
from etl_ray.orchestrators.row_groups import Place, damaged, missing
from etl_ray.tables.dates import date_of

_SCHEMA = pa.schema(
    [
        ("product_id", pa.string()),
        ("segment_start", pa.string()),
        ("line_start", pa.int64()),
        ("state", pa.string()),
        ("cause", pa.string()),
        ("connection_id", pa.string()),
        ("ts_start", pa.int64()),
        ("ts_end", pa.int64()),
    ]
)
_COLUMNS = _SCHEMA.names


@dataclass(frozen=True)
class BookStretch:
    """A stretch of the recording in which a book has one state, from `since` to `until` (ns UTC, None: open).

    `cause` and `connection_id` are as in `coverage`. Before the recording it is `no_data` with the cause `start`,
    behind it `no_data` with the cause `end`.
    """

    state: str
    cause: str | None
    connection_id: str | None
    since: int | None
    until: int | None


@dataclass(frozen=True)
class _Tile:
    start: Place
    state: str
    cause: str | None
    connection_id: str | None
    ts_start: int
    ts_end: int

    def continues(self, before: _Tile) -> bool:
        """Tell whether the tile was only cut off from the one before, at a midnight."""
        return (self.state, self.cause, self.connection_id) == (before.state, before.cause, before.connection_id)


class BookCoverage:
    """The states of a product's book in an output."""

    def __init__(self, output: str, manifest: Manifest, product: str) -> None:
        self._output = output
        self._product = product
        self._files = sorted(file.path for file in manifest.files if file.table == "coverage")
        self._read: dict[str, pa.Table] = {}

    def at(self, ts: int, place: Place | None = None) -> BookStretch:
        """Return the stretch at an instant; if `place` is given, not the one of an earlier place than that."""
        dates = [path.partition("date=")[2].partition("/")[0] for path in self._files]
        day = bisect_right(dates, date_of(ts))
        first, last = max(0, day - 2), day + 1
        near = _Tiles(self._tiles(self._files[first:last]), first > 0, last < len(self._files))
        # How long data are missing may take more files to say; how long they are good is not worth it.
        found = near.at(ts, place) or _Tiles(self._tiles(self._files), False, False).at(ts, place)
        assert found is not None  # noqa: S101 - for the type checker; nothing takes more than all tiles
        return found

    def _tiles(self, paths: list[str]) -> list[_Tile]:
        for path in paths:
            if path not in self._read:
                self._read[path] = book_tiles(storage.join(self._output, path))
        rows = pa.concat_tables([_SCHEMA.empty_table(), *(self._read[path] for path in paths)])
        mine = rows.filter(pc.equal(rows.column("product_id"), self._product))
        if not len(mine) and paths == self._files:
            known = tuple(sorted(pc.unique(rows.column("product_id")).to_pylist()))
            raise ConfigError(f"no book of {self._product} in OUTPUT; {suggest(self._product, known)}")
        columns = [mine.column(name).to_pylist() for name in _COLUMNS[1:]]
        tiles = [_Tile(Place(segment, line), *values) for segment, line, *values in zip(*columns, strict=True)]
        return sorted(tiles, key=lambda tile: tile.start)


def book_tiles(url: str) -> pa.Table:
    """Return the rows of a file of `coverage` that are of books, with text and ns."""
    try:
        with storage.open_read(url) as file:
            rows = pq.ParquetFile(file).read(columns=["channel", *_COLUMNS], use_threads=False)
    except NotFoundError:
        raise missing(url) from None
    except (pa.ArrowException, OSError) as error:
        raise damaged(url, error) from None
    rows = rows.filter(pc.equal(rows.column("channel").cast(pa.string()), "level2")).select(_COLUMNS)
    return rows.cast(_SCHEMA)


@dataclass(frozen=True)
class _Tiles:
    """Tiles in arrival order, and whether there are others before and behind them."""

    tiles: list[_Tile]
    more_before: bool
    more_behind: bool

    def at(self, ts: int, place: Place | None) -> BookStretch | None:
        """Return the stretch at an instant, None if it takes more tiles to say."""
        tiles = self.tiles
        reached = [k for k, tile in enumerate(tiles) if tile.ts_start <= ts or (place and tile.start <= place)]
        if not reached:
            data = next((tile.ts_start for tile in tiles if tile.state != "no_data"), None)
            more = self.more_before or (data is None and self.more_behind)
            return None if more else BookStretch("no_data", "start", None, None, data)
        begin = end = reached[-1]
        found = tiles[end]
        is_missing = found.state == "no_data"
        while begin > 0 and tiles[begin].continues(tiles[begin - 1]):
            begin -= 1
        while end + 1 < len(tiles) and tiles[end + 1].continues(tiles[end]):
            end += 1
        if self.more_before and begin == 0 and is_missing:
            return None
        if self.more_behind and end == len(tiles) - 1 and (is_missing or reached[-1] == end):
            return None
        latest = max(tile.ts_end for tile in tiles)
        if ts <= latest:
            return BookStretch(found.state, found.cause, found.connection_id, tiles[begin].ts_start, tiles[end].ts_end)
        if is_missing:
            return BookStretch("no_data", found.cause, None, tiles[begin].ts_start, None)
        return BookStretch("no_data", "end", None, latest, None)
