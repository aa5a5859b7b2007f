"""What is measured on: generated segments, or a recording, unpacked into a folder of their own."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import zstandard


def unpack(source: Path, folder: Path) -> list[str]:
    """Write the segments below `source` into `folder` without their codec; return the paths in arrival order."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("segment_*.ndjson*")):
        if path.suffix == ".zst":
            with path.open("rb") as packed, (folder / path.stem).open("wb") as plain:
                zstandard.ZstdDecompressor().copy_stream(packed, plain)
        elif path.suffix == ".gz":
            with gzip.open(path) as packed, (folder / path.stem).open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        else:
            shutil.copyfile(path, folder / path.name)
    segments = sorted(str(path) for path in folder.iterdir())
    if not segments:
        raise SystemExit(f"no segments in {source}: expected files such as segment_20251126T14_00001.ndjson.zst")
    return segments
