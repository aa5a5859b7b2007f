"""What is measured on: generated segments, or a recording, in a folder of their own, with the codec asked for."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from etl_ray.sample import SampleOptions, write_sample

CODECS = ("raw", "gz", "zst")
MB_PER_MINUTE = 10.2
"""About what the generator writes with its default products and rate."""

_GZIP_LEVEL, _ZSTD_LEVEL = 6, 3  # what gzip and zstd do if they are not told otherwise


@dataclass(frozen=True)
class Input:
    """Segments without a codec, in arrival order, `mb` million bytes; `source` names them in reports."""

    source: str
    segments: tuple[str, ...]
    mb: float


def make_input(recording: Path | None, mb: float, work: Path) -> Input:
    """Return the segments of `recording`, unpacked below `work`; without one, about `mb` MB are generated there."""
    if recording is not None:
        return _input("real flow", unpack(recording, work / "real"))
    # One connection: later ones come in shapes that the other sides' typed readers are not written for.
    options = SampleOptions(connections=1, minutes=mb / MB_PER_MINUTE)
    return _input("generated", write_sample(str(work / "generated"), options).paths)


def _input(source: str, segments: Sequence[str]) -> Input:
    return Input(source, tuple(segments), sum(Path(segment).stat().st_size for segment in segments) / 1e6)


def with_codec(segments: Sequence[str], codec: str, folder: Path) -> list[str]:
    """Return segments with a codec of CODECS, written to `folder` if it is not theirs already."""
    if codec == "raw":
        return list(segments)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for segment in segments:
        packed = folder / f"{Path(segment).name}.{codec}"
        data = Path(segment).read_bytes()
        if codec == "gz":
            packed.write_bytes(gzip.compress(data, _GZIP_LEVEL, mtime=0))
        else:
            packed.write_bytes(zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data))
        found.append(str(packed))
    return found


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
