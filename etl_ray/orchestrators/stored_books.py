"""Books out of the files of an output: the nearest checkpoint, and the rows of `level2` behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.config import format_time
from etl_ray.errors import ConfigError, NotFoundError
from etl_ray.orchestrators.manifest import Manifest
from etl_ray.orchestrators.row_groups import (
    NO_DATE,
    Place,
    ProductFiles,
    RowGroup,
    equals,
    missing,
    not_behind,
    places_of,
)
from etl_ray.tables import DECIMAL, Numbers
from etl_ray.tables.dates import date_of

_LINEAGE = ("connection_id", "segment", "line")


@dataclass(frozen=True)
class Message:
    """A message of a book: the last one by some time."""

    place: Place
    ts_server: int
    sequence_num: int


class StoredBooks:
    """The files of an output from which books of a product are made; `opened` closes them."""

    def __init__(self, output: str, manifest: Manifest, product: str, *, numbers: Numbers, opened: ExitStack) -> None:
        self._output = output
        self._manifest = manifest
        self._product = product
        self._numbers = numbers
        self._level2 = ProductFiles(output, "level2", product, files=manifest.files, opened=opened)
        self._checkpoints = ProductFiles(output, "book_checkpoints", product, files=manifest.files, opened=opened)
        refused = [text for text in manifest.findings if text.startswith(f"{product} has no book")]
        if refused:
            raise ConfigError(refused[0])

    def last_message(self, connection: str, ts: int) -> Message | None:
        """Return the last message with rows of a connection, in arrival order, that was sent by `ts`."""
        found: Message | None = None
        day = date_of(ts)
        for date in reversed(self._level2.dates):
            if date > day:  # never of files without a date
                continue
            for group in self._level2.groups_backwards(date):
                if group.ts_min > ts:
                    continue
                if found is not None and group.last < found.place:
                    break
                last = self._last_in(group, connection, ts)
                if last is not None:
                    found = last if found is None or last.place > found.place else found
                    break
        return found

    def _last_in(self, group: RowGroup, connection: str, ts: int) -> Message | None:
        wanted = {"connection_id": connection, "product_id": self._product}
        filters = {name: value for name, value in wanted.items() if group.constants.get(name) != value}
        if filters.keys() & group.constants.keys():
            return None
        rows = group.read(("ts_server", "segment", "line", "sequence_num", *filters))
        times = rows.column("ts_server").cast(pa.int64()).to_numpy()
        mine = times <= ts
        for name, value in filters.items():
            mine &= equals(rows, name, value)
        k = int(np.flatnonzero(mine)[-1]) if mine.any() else -1
        if k < 0:
            return None
        place = Place(rows.column("segment")[k].as_py(), rows.column("line")[k].as_py())
        return Message(place, int(times[k]), rows.column("sequence_num")[k].as_py())

    def book(self, connection: str, message: Message) -> pa.Table:
        """Return the levels behind a message: is_bid, price, quantity."""
        # On each date the messages of a connection begin with a checkpoint, but for its very first: so the files of one
        # date are enough.
        day = date_of(message.ts_server)
        start, levels = self._checkpoint(connection, message.place, day)
        parts: list[pa.Table] = []
        for group in self._groups(start, message.place, day):
            rows, is_whole = self._changes(group, connection, start, message.place)
            parts.append(rows)
            if is_whole:
                break
        else:
            parts.append(levels)
        rows = pa.concat_tables(reversed(parts))
        rows = rows.append_column("row", pa.array(np.arange(len(rows))))
        # Of decimals as of their nearest floats equal ones are the same level, and the last row of a level counts.
        last = rows.group_by(["is_bid", "price"], use_threads=False).aggregate([("row", "max")])
        rows = rows.take(last.column("row_max"))
        zero = pa.scalar(0, pa.int64()).cast(rows.schema.field("quantity").type)
        return rows.filter(pc.greater(rows.column("quantity"), zero))

    def _checkpoint(self, connection: str, place: Place, day: str) -> tuple[Place, pa.Table]:
        """Return the last book of a connection that is not behind a place: the place it is in front of, and levels."""
        for groups in self._checkpoints.files_backwards(day):
            wanted = [group for group in groups if group.first <= place]
            if not wanted:
                continue
            rows = pa.concat_tables([group.read((*_LINEAGE, "side", "price", "size")) for group in wanted])
            rows = rows.filter(pa.array(equals(rows, "connection_id", connection) & not_behind(rows, place)))
            if len(rows):
                segments, segment, line = places_of(rows)
                newest = (segment == segment[-1]) & (line == line[-1])
                return Place(segments[segment[-1]], int(line[-1])), _levels(rows.filter(pa.array(newest)), "size")
        self.check_beginning(connection)
        segment_first, _, line_first = connection.rpartition(":")
        kind = DECIMAL if self._numbers == "decimal" else pa.float64()
        return Place(segment_first, int(line_first)), pa.schema(
            [("is_bid", pa.bool_()), ("price", kind), ("quantity", kind)]
        ).empty_table()

    def check_beginning(self, connection: str) -> None:
        """Raise ConfigError if rows from the beginning of a connection were not written."""
        start = self._manifest.start_ns
        if start is not None and self._first_ts(connection) < start:
            raise ConfigError(
                f"OUTPUT was made with --start {format_time(start)}: the book of {self._product} comes from messages "
                "before that, and there is no checkpoint yet between them. Ask for a later time, or run again without"
            )

    def _first_ts(self, connection: str) -> int:
        (path,) = (file.path for file in self._manifest.files if file.table == "connections")
        url = storage.join(self._output, path)
        try:
            with storage.open_read(url) as file:
                rows = pq.ParquetFile(file).read(columns=["connection_id", "ts_first"], use_threads=False)
        except NotFoundError:
            raise missing(url) from None
        mine = rows.filter(pa.array(equals(rows, "connection_id", connection)))
        return mine.column("ts_first").cast(pa.int64())[0].as_py() or 0

    def _groups(self, start: Place, end: Place, day: str) -> Iterator[RowGroup]:
        """Yield the row groups of level2 that may hold rows of a date from one place to another, the last one first."""
        for date in {day, NO_DATE} & set(self._level2.dates):
            for group in self._level2.groups_backwards(date):
                if group.last < start:
                    return
                if group.first <= end:
                    yield group

    def _changes(self, group: RowGroup, connection: str, start: Place, end: Place) -> tuple[pa.Table, bool]:
        """Return what changes a connection's book in a row group, and whether that begins with a snapshot."""
        wanted = {"connection_id": connection, "product_id": self._product}
        filters = {name: value for name, value in wanted.items() if group.constants.get(name) != value}
        places = ("segment", "line") if group.first < start or group.last > end else ()
        snapshots = ("is_snapshot", "row_index") if group.constants.get("is_snapshot", True) else ()
        rows = group.read(("side", "price", "quantity", *filters, *places, *snapshots))
        mine = np.ones(len(rows), np.bool_)
        for name, value in filters.items():
            mine &= equals(rows, name, value)
        if places:
            mine &= not_behind(rows, end) & ~not_behind(rows, Place(start.segment, start.line - 1))
        if not mine.all():
            rows = rows.filter(pa.array(mine))
        if not snapshots:
            return _levels(rows, "quantity"), False
        begins = rows.column("is_snapshot").to_numpy() & (rows.column("row_index").to_numpy() == 0)
        found = np.flatnonzero(begins)
        return _levels(rows.slice(found[-1] if len(found) else 0), "quantity"), len(found) > 0


def checked_numbers(manifest: Manifest, output: str) -> Numbers:
    """Return how the run stores numbers; ConfigError if it has written no books."""
    semantic = json.loads(manifest.semantic)
    if "channels" not in semantic:
        raise ConfigError(f"OUTPUT {output} was made by etl-ray reprocess; expected the OUTPUT of etl-ray run")
    level2 = semantic["channels"].get("level2")
    again = "run again into another OUTPUT, or with --overwrite"
    if level2 is None:
        raise ConfigError(f"OUTPUT {output} was made without the channel level2: {again} and the channel")
    if not level2["processor_options"]["reconstruct_lob"]:
        raise ConfigError(f"OUTPUT {output} was made with reconstruct_lob: false: {again} and without that")
    if level2["processors"]:
        raise ConfigError(
            f"the rows of level2 in OUTPUT {output} went through processors ({level2['processors'][0]['path']}), so "
            f"books cannot be replayed from them: {again} and without these"
        )
    numbers: Numbers = semantic["numbers"]
    return numbers


def _levels(rows: pa.Table, quantity: str) -> pa.Table:
    """Return is_bid, price and quantity of rows that have them."""
    columns = [pc.equal(rows.column("side"), "bid"), rows.column("price"), rows.column(quantity)]
    levels = pa.table(columns, names=["is_bid", "price", "quantity"])
    return levels.filter(pc.is_valid(levels.column("price"))) if levels.column("price").null_count else levels
