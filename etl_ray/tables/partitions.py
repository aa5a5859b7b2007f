"""Hive partitions: where the rows of a (product, date) lie below OUTPUT."""

from __future__ import annotations

from functools import lru_cache

PATH_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
NULL_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What stands in a path for null, as it is customary."""


def is_hidden(name: str) -> bool:
    """Tell whether readers of tables pass over a file or directory of this name. Hive keys may begin as they like."""
    return name.startswith(("_", ".")) and "=" not in name


@lru_cache(maxsize=65_536)
def encode_value(value: str) -> str:
    """Return a partition value as it stands in a path: bytes outside `[A-Z0-9._-]` percent-encoded."""
    if value in (".", ".."):
        return value.replace(".", "%2E")
    if value == NULL_VALUE:
        return f"%5F{value[1:]}"
    return "".join(chr(byte) if byte in PATH_CHARS else f"%{byte:02X}" for byte in value.encode())


def partition_path(table: str, columns: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return the directory of a partition, relative to OUTPUT."""
    # Dates and names of bars are ours: digits, letters, the word unknown.
    parts = (
        f"{column}={value if column in ('date', 'bar') else encode_value(value)}"
        for column, value in zip(columns, values, strict=True)
    )
    return "/".join((table, *parts))


def partition_keys(path: str) -> dict[str, str]:
    """Return the Hive keys of a file's path with their values, encoded as they stand there."""
    return dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)
