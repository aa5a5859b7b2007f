"""The stage behind trades and books: bars, trades with books and features of a product, from the final files."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from etl_ray.bars import BarOptions, Tape, bars, parse_bar
from etl_ray.config.derived import DerivedConfig
from etl_ray.features import FeatureOptions, interval_features, trades_with_book
from etl_ray.orchestrators.derive_inputs import read_book, read_trades
from etl_ray.orchestrators.derive_plan import DeriveOptions, DeriveTask, span_ns
from etl_ray.orchestrators.final_files import write_final
from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.scan.outcomes import constant
from etl_ray.tables import BARS, FEATURES, TRADES_WITH_BOOK, Numbers, Table
from etl_ray.tables.partitions import partition_path


def derive(task: DeriveTask, options: DeriveOptions) -> tuple[BuiltFile, ...]:
    """Write the derived tables of a task; return their files."""
    derived = options.derived
    first_ns, end_ns = span_ns(task.dates)
    trades = read_trades(task, options)
    files: list[BuiltFile] = []
    tape = Tape.of(trades) if task.bars else None
    for text in task.bars:
        spec = parse_bar(text)
        found = bars(tape if tape is not None else trades, spec, bar_options(derived), first_ns=first_ns, end_ns=end_ns)
        rows = _rows(found.with_columns(pl.lit(spec.name).alias("bar")), BARS, task.product, options.numbers)
        files += _written(rows, BARS, {"bar": spec.name, "product_id": task.product}, options)
    if not task.with_books:
        return tuple(files)
    book = read_book(task, options)
    features = feature_options(derived, task.product)
    for table, compute, is_asked in (
        (TRADES_WITH_BOOK, trades_with_book, derived.trades_with_book),
        (FEATURES, interval_features, derived.features is not None),
    ):
        if is_asked:
            found = compute(trades, book, features, first_ns=first_ns, end_ns=end_ns)
            rows = _rows(found, table, task.product, options.numbers)
            files += _written(rows, table, {"product_id": task.product}, options)
    return tuple(files)


def bar_options(derived: DerivedConfig) -> BarOptions:
    """Return what bars tell."""
    return BarOptions(
        fill=derived.fill,
        reset=derived.reset,
        rv_step_ns=derived.duration_ns("rv_step"),
        roll=derived.roll_spread,
    )


def feature_options(derived: DerivedConfig, product: str) -> FeatureOptions:
    """Return what is computed of trades and books of a product."""
    return FeatureOptions(
        interval_ns=1_000_000_000 if derived.features is None else derived.duration_ns("features"),
        max_book_age_ns=derived.duration_ns("max_book_age"),
        admit_unverifiable=derived.admit_unverifiable,
        kyle_step_ns=derived.duration_ns("kyle_step"),
        kyle_window_ns=derived.duration_ns("kyle_window"),
        kyle_min_n=derived.kyle_min_n,
        vpin_bucket=derived.bucket_of(product),
        vpin_n=derived.vpin_n,
    )


def _rows(found: pl.DataFrame, table: Table, product: str, numbers: Numbers) -> pa.Table:
    """Return computed rows as those of a table."""
    rows = found.to_arrow()
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns["product_id"] = pa.chunked_array([constant(product, len(rows))])
    for field in table.schema(numbers):
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(columns[field.name].type):
            columns[field.name] = columns[field.name].cast(pa.string()).dictionary_encode()
    return table.conform(pa.table({name: columns[name] for name in table.names}), numbers)


def _written(rows: pa.Table, table: Table, keys: dict[str, str], options: DeriveOptions) -> Iterator[BuiltFile]:
    """Write the rows, one file for each date."""
    dates = rows.column("date").cast(pa.string())
    for date in pc.unique(dates).to_pylist():
        part = rows.filter(pc.equal(dates, date)).unify_dictionaries()
        values = tuple((keys | {"date": date})[name] for name in table.partition_cols)
        size = options.rows_per_group
        yield write_final(
            table.name,
            partition_path(table.name, table.partition_cols, values),
            0,
            (part.slice(begin, size) for begin in range(0, len(part), size)),
            output=options.output,
            schema=part.schema,
        )
