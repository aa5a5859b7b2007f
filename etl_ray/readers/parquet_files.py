"""The Parquet files of one table: which ones there are, what their paths say, and that they agree."""

from __future__ import annotations

import glob
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from etl_ray import storage
from etl_ray.config.sections import suggest
from etl_ray.errors import ConfigError, SchemaError, StorageError
from etl_ray.storage.access import filesystem
from etl_ray.tables import SYMBOL, TABLES
from etl_ray.tables.partitions import NULL_VALUE, is_hidden

SUFFIXES = (".parquet", ".parq", ".pq")
_FOOTERS_AT_ONCE = 16  # of files in a bucket, whose latency counts


@dataclass(frozen=True)
class RowGroup:
    """A row group by its size; `bytes` is that of its encoded, unpacked pages."""

    rows: int
    bytes: int


@dataclass(frozen=True)
class ParquetPart:
    """A file. `path_values` are those of its Hive directories, decoded, null as None; `added` those that it lacks."""

    url: str
    path_values: Mapping[str, str | None]
    added: Mapping[str, str | None]
    groups: tuple[RowGroup, ...]


@dataclass(frozen=True)
class ParquetTable:
    """Files in the order of their paths, and the schema that holds for all: the columns asked for, or all of them."""

    parts: tuple[ParquetPart, ...]
    schema: pa.Schema


@dataclass(frozen=True)
class _Found:
    part: ParquetPart
    schema: pa.Schema


def find_table(input_path: str, columns: Sequence[str] | None = None) -> ParquetTable:
    """Find and check the files of a table at a directory, glob, file or URL; only footers are read.

    ConfigError if there are none, or of several tables, or if they lack a column of `columns`; SchemaError if they
    disagree or were written for another version of their table; StorageError if one is not a Parquet file.
    """
    root, pattern = _split_pattern(input_path)
    urls = _data_files(input_path, root, pattern)
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        found = list(pool.map(lambda url: _look_into(url, root), urls))
    _check_one_table(found, input_path, root)
    for item in found:
        _check_version(item)
    return ParquetTable(tuple(item.part for item in found), _common_schema(found, columns))


def _split_pattern(input_path: str) -> tuple[str, str]:
    """Return the part of the path that is no pattern, absolute if local, and the rest."""
    if storage.is_local(input_path):
        path = str(storage.local_path(input_path))
    else:
        # As listings write it.
        name = filesystem(input_path)[1].rstrip("/")
        path = name if "://" in name else f"{input_path.partition('://')[0]}://{name.lstrip('/')}"
    parts = path.split("/")
    fixed = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return "/".join(parts[:fixed]), "/".join(parts[fixed:])


def _data_files(input_path: str, root: str, pattern: str) -> list[str]:
    listing = storage.search(input_path)
    named = sorted({info.url for info in listing.named + listing.below})
    if named == [root]:
        return named  # whatever its name
    asked_for = any(map(is_hidden, pattern.split("/")))
    urls = [
        url
        for url in named
        if url.endswith(SUFFIXES) and (asked_for or not any(map(is_hidden, url.removeprefix(root).split("/"))))
    ]
    if not urls:
        raise ConfigError(
            f"no Parquet files at {storage.redact(input_path)}: expected names that end in {SUFFIXES[0]} and do not "
            f"begin with a dot or underscore; found {len(named):,} other files"
        )
    return urls


def _path_values(url: str, root: str) -> dict[str, str | None]:
    """Return what the Hive directories say: those below `root`, and the unbroken run of them that ends there."""
    folders = url.split("/")[:-1]
    first = min(len(root.split("/")), len(folders)) if url.startswith(root) else len(folders)
    while first and "=" in folders[first - 1]:
        first -= 1
    values: dict[str, str | None] = {}
    for folder in folders[first:]:
        key, separator, value = folder.partition("=")
        if separator and key:
            try:
                decoded = unquote(value, errors="strict")
            except UnicodeDecodeError:
                raise SchemaError(f"{storage.redact(url)}: {folder!r} is not percent-encoded UTF-8") from None
            values[unquote(key)] = None if value == NULL_VALUE else decoded
    return values


def _look_into(url: str, root: str) -> _Found:
    try:
        with storage.open_read(url) as file, pq.ParquetFile(file) as parquet:
            schema, metadata = parquet.schema_arrow, parquet.metadata
            groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{storage.redact(url)}: expected a whole Parquet file; {_one_line(error)}") from None
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise SchemaError(f"{storage.redact(url)}: expected columns of different names, found {twice[0]!r} twice")
    path_values = _path_values(url, root)
    added = {key: value for key, value in path_values.items() if key not in schema.names}
    for key in added:
        schema = schema.append(pa.field(key, SYMBOL))
    sizes = tuple(RowGroup(group.num_rows, group.total_byte_size) for group in groups)
    return _Found(ParquetPart(url, path_values, added, sizes), schema)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _table_name(schema: pa.Schema) -> str | None:
    name: bytes | None = (schema.metadata or {}).get(b"etl_ray.table")
    return None if name is None else name.decode(errors="replace")


def _check_one_table(found: Iterable[_Found], input_path: str, root: str) -> None:
    counts = Counter(name for item in found if (name := _table_name(item.schema)) is not None)
    if len(counts) > 1:
        listed = ", ".join(f"{name} ({count:,} files)" for name, count in sorted(counts.items()))
        raise ConfigError(
            f"{storage.redact(input_path)} holds several tables: {listed}. Name one of them, for example "
            f"{storage.redact(posixpath.join(root, min(counts)))}"
        )


def _check_version(item: _Found) -> None:
    name = _table_name(item.schema)
    if name not in TABLES:
        return
    text = item.schema.metadata.get(b"etl_ray.version", b"").decode(errors="replace")
    expected = TABLES[name].version
    if text == str(expected):
        return
    said = f"{storage.redact(item.part.url)} holds version {text or 'unknown'} of the table {name!r}"
    if text.isascii() and text.isdigit() and int(text) > expected:
        raise SchemaError(f"{said}, this etl-ray reads version {expected}: install the release that wrote it, or newer")
    raise SchemaError(
        f"{said}, this etl-ray reads version {expected}: write the table anew from its recording "
        "(`etl-ray run INPUT OUTPUT --overwrite`), or read it with the release that wrote it"
    )


def _common_schema(found: Sequence[_Found], columns: Sequence[str] | None) -> pa.Schema:
    first = found[0]
    names = first.schema.names if columns is None else list(columns)
    everywhere = dict.fromkeys(name for item in found for name in item.schema.names)
    for name in names:
        if name not in everywhere:
            raise ConfigError(f"unknown column {name!r}; {suggest(name, tuple(everywhere))}")
    fields = {name: first.schema.field(name) for name in names if name in first.schema.names}
    for item in _distinct(found):
        present = set(item.schema.names)
        missing = set(names) - present or (present - set(names) if columns is None else set())
        if missing:
            raise SchemaError(_lacks(min(missing), found))
        fields = {name: _merge(field, item.schema.field(name), first, item) for name, field in fields.items()}
    return pa.schema([fields[name] for name in names], metadata=first.schema.metadata)


def _distinct(found: Iterable[_Found]) -> Iterator[_Found]:
    """Yield the first file of each schema."""
    seen: set[bytes] = set()
    for item in found:
        key = item.schema.remove_metadata().serialize().to_pybytes()
        if key not in seen:
            seen.add(key)
            yield item


def _lacks(name: str, found: Sequence[_Found]) -> str:
    without = next(item for item in found if name not in item.schema.names)
    having = next(item for item in found if name in item.schema.names)
    return (
        f"{storage.redact(without.part.url)} has no column {name!r}, but {storage.redact(having.part.url)} has; "
        "expected files of the same columns, or `columns` that all of them have"
    )


def _merge(before: pa.Field, field: pa.Field, first: _Found, item: _Found) -> pa.Field:
    """Return a field for the values of both."""
    nullable = before.nullable or field.nullable
    if before.type == field.type:
        return before.with_nullable(nullable)
    kinds = (before.type, field.type)
    if all(map(pat.is_dictionary, kinds)) and kinds[0].value_type == kinds[1].value_type:
        # The width of the index tells how many words a file happened to hold.
        ordered = kinds[0].ordered and kinds[1].ordered
        return before.with_nullable(nullable).with_type(pa.dictionary(pa.int32(), kinds[0].value_type, ordered))
    raise SchemaError(
        f"column {before.name!r} is {before.type} in {storage.redact(first.part.url)}, but {field.type} in "
        f"{storage.redact(item.part.url)}; expected one type"
    )
