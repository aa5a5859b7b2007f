"""How columns are encoded: as measured, and so that every reader of Parquet can read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.tables import SYMBOL, TABLES, Numbers
from etl_ray.writers.encodings import writer_options
from etl_ray.writers.parquet import ParquetWriter

ROWS = 100_000


def written(path: Path, table: pa.Table) -> pq.FileMetaData:
    (file,) = ParquetWriter().write(table, str(path)).files
    return pq.read_metadata(file)


def chunks(metadata: pq.FileMetaData) -> dict[str, pq.ColumnChunkMetaData]:
    group = metadata.row_group(0)
    return {group.column(k).path_in_schema: group.column(k) for k in range(metadata.num_columns)}


def rows_of(table: str, numbers: Numbers) -> pa.Table:
    """Return rows of a table of the job."""
    schema = TABLES[table].schema(numbers)
    columns = []
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            columns.append(pa.DictionaryArray.from_arrays(np.zeros(ROWS, np.int32), ["word"]))
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
            columns.append(pa.array([b"" if pa.types.is_binary(kind) else []] * ROWS, kind))
        else:
            columns.append(pa.array(np.arange(ROWS) % 2).cast(kind))
    return pa.Table.from_arrays(columns, schema=schema)


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("table", TABLES)
def test_spark_knows_all_encodings_and_codecs(table: str, numbers: Numbers, tmp_path: Path) -> None:
    known = {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED"}  # of Spark 3.5
    for name, chunk in chunks(written(tmp_path, rows_of(table, numbers))).items():
        assert set(chunk.encodings) <= known, name
        assert chunk.compression == "ZSTD", name
        assert chunk.is_stats_set and chunk.has_column_index and chunk.has_offset_index, name


def test_level2_has_runs_and_prices_that_come_back(tmp_path: Path) -> None:
    found = {
        name: (chunk.compression, chunk.encodings)
        for name, chunk in chunks(written(tmp_path, rows_of("level2", "float64"))).items()
    }

    word = ("ZSTD", ("PLAIN", "RLE", "RLE_DICTIONARY"))
    count, number = ("ZSTD", ("RLE", "PLAIN")), ("ZSTD", ("RLE", "PLAIN"))
    assert found == {
        **dict.fromkeys(("product_id", "date", "side", "price", "connection_id", "segment"), word),
        **dict.fromkeys(("ts_event", "ts_server", "ts_capture", "sequence_num"), count),
        **dict.fromkeys(("line", "event_index", "row_index"), count),
        **dict.fromkeys(("quantity", "is_snapshot", "is_last"), number),
    }


def test_other_tables_have_deltas_words_and_plain_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "price": pa.array(np.arange(9.0)),
            "count": pa.array(np.arange(9)),
            "at": pa.array(np.arange(9), pa.timestamp("ns")),
            "day": pa.array(np.arange(9, dtype=np.int32), pa.date32()),
            "word": pa.array(["a"] * 9, SYMBOL),
            "text": pa.array(["a"] * 9),
            "raw": pa.array([b"a"] * 9),
            "yes": pa.array([True] * 9),
            "list": pa.array([[1.5]] * 9),
        }
    )

    found = {name: (chunk.compression, chunk.encodings) for name, chunk in chunks(written(tmp_path, table)).items()}

    word = ("ZSTD", ("PLAIN", "RLE", "RLE_DICTIONARY"))
    plain, delta = ("ZSTD", ("RLE", "PLAIN")), ("ZSTD", ("RLE", "DELTA_BINARY_PACKED"))
    assert found == {
        **dict.fromkeys(("day", "word", "text"), word),
        **dict.fromkeys(("count", "at"), delta),
        **dict.fromkeys(("price", "raw", "yes", "list.list.element"), plain),
    }


def test_a_dictionary_of_long_texts_ends_soon(tmp_path: Path) -> None:
    noise = np.random.default_rng(7)
    text = pa.table({"text": [noise.bytes(2_000).hex() for _ in range(5_000)]})

    (chunk,) = chunks(written(tmp_path, text)).values()

    assert 1.5e6 < chunk.data_page_offset - chunk.dictionary_page_offset < 3e6


def test_only_text_is_written_in_small_batches() -> None:
    small = pa.schema([("n", pa.float64()), ("d", pa.decimal128(38, 18)), ("b", pa.bool_()), ("w", SYMBOL)])
    assert writer_options(small)["write_batch_size"] == 16_384
    for kind in (pa.string(), pa.binary(), pa.list_(pa.int8()), pa.large_string()):
        assert writer_options(small.append(pa.field("x", kind)))["write_batch_size"] == 1_024
