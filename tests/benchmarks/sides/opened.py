"""Segments of any codec as files of lines, for the sides that read them in Python."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

from backports import zstd


def open_binary(segment: str) -> BinaryIO:
    """Open a segment; its suffix says which codec it has."""
    if segment.endswith(".gz"):
        return cast("BinaryIO", gzip.open(segment))
    if segment.endswith(".zst"):
        return cast("BinaryIO", zstd.open(segment))
    return Path(segment).open("rb")
