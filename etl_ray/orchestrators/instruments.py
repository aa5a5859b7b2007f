"""`instruments`: the rows of `status` at which a product's terms change."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.orchestrators.selection import Selection
from etl_ray.tables import INSTRUMENTS, STATUS, Numbers

_RENAMED = {"valid_from": "ts_server", "tick_size": "quote_increment", "lot_size": "base_increment"}
_TERMS = tuple(
    _RENAMED.get(name, name)
    for name in INSTRUMENTS.names
    if name not in ("product_id", "valid_from", "segment", "line")
)


def instruments(status: Iterable[pa.Table], selection: Selection, numbers: Numbers) -> pa.Table:
    """Return the versions found in all status rows, given in arrival order, as far as they are selected.

    A version is found whatever the selection, so that `valid_from` is always the true first message.
    """
    known: dict[str, tuple[object, ...]] = {}
    kept: list[pa.Table] = [STATUS.schema(numbers).empty_table()]
    for rows in status:
        terms = zip(*(rows.column(name).to_pylist() for name in _TERMS), strict=True)
        changed = []
        for product, found in zip(rows.column("product_id").to_pylist(), terms, strict=True):
            changed.append(known.get(product) != found)
            known[product] = found
        kept.append(rows.filter(pa.array(changed, pa.bool_())))
    versions = _selected(pa.concat_tables(kept).unify_dictionaries(), selection)
    # A message may hold a product's terms once more than one: rows stay in arrival order among equals.
    versions = versions.take(_order(versions))
    columns = {name: versions.column(_RENAMED.get(name, name)) for name in INSTRUMENTS.names}
    return INSTRUMENTS.conform(pa.table(columns), numbers)


def _order(versions: pa.Table) -> pa.Array:
    """Return the indices that sort versions; Arrow sorts no dictionaries."""
    plain = pa.schema([("segment", pa.string()), ("line", pa.int64()), ("product_id", pa.string())])
    return pc.sort_indices(
        versions.select(plain.names).cast(plain), sort_keys=[(name, "ascending") for name in plain.names]
    )


def _selected(versions: pa.Table, selection: Selection) -> pa.Table:
    server = versions.column("ts_server").cast(pa.int64())
    kept = pa.array([True] * len(versions), pa.bool_())
    if selection.start_ns is not None:
        kept = pc.and_(kept, pc.greater_equal(server, selection.start_ns))
    if selection.end_ns is not None:
        kept = pc.and_(kept, pc.less(server, selection.end_ns))
    if selection.products:
        names = versions.column("product_id").cast(pa.string())
        kept = pc.and_(kept, pc.is_in(names, pa.array(selection.products, pa.string())))
    return versions.filter(kept)
