"""A few megabytes that unpack to gigabytes: read to the end, in the memory of a worker."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from backports import zstd

from tests.bad_input.recordings import good_lines

ROOT = Path(__file__).parents[2]
STATUS = Path("/proc/self/status")
PIECE_BYTES = 64 << 20
SIZES = pytest.mark.parametrize("gigabytes", [1, pytest.param(4, marks=pytest.mark.slow)])
GOOD = "segment_20251126T14_00001.ndjson"
BOMB = "segment_20251126T15_00002.ndjson"
LIMIT_MB = 600
VALUES_LIMIT_MB = 900
Pack = Callable[[Iterable[bytes]], Iterator[bytes]]

# The peak of a process of its own: what a run over good lines needs, then how much more with the bomb beside them.
PROGRAM = """
import json, re, sys
from pathlib import Path
from etl_ray import ETLJob, JobConfig

def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

good, everything, output = sys.argv[1:]
ETLJob(good, output + "-good", config=JobConfig(engine="local")).process_all()
base_mb = peak_mb()
summary = ETLJob(everything, output, config=JobConfig(engine="local")).process_all()
print(json.dumps(summary.as_dict() | {"peak_mb": peak_mb() - base_mb}))
"""

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason=f"this system does not tell peaks of memory in {STATUS}")


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pack pieces into one stream."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def zstandardized(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pack pieces into one frame."""
    packer = zstd.ZstdCompressor(level=1)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def run_with_bomb(
    packed: Iterable[bytes], suffix: str, input_dir: Path, output_dir: Path, limit_mb: int = LIMIT_MB
) -> dict[str, object]:
    """Run the job over the bomb and good lines in a process of its own; return its summary and its peak."""
    (input_dir / GOOD).write_bytes(good_lines(0, 20))
    with (input_dir / f"{BOMB}{suffix}").open("wb") as file:
        file.writelines(packed)
    arguments = [str(input_dir / GOOD), str(input_dir), str(output_dir)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert found["damaged"] == []
    peak_mb = found["peak_mb"]
    assert isinstance(peak_mb, float)
    assert peak_mb < limit_mb
    return found


def repeated(byte: bytes, gigabytes: int) -> Iterator[bytes]:
    """Yield one byte over and over."""
    piece = byte * PIECE_BYTES
    for _ in range((gigabytes << 30) // PIECE_BYTES):
        yield piece


@SIZES
@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzipped), (".zst", zstandardized)], ids=["gz", "zst"])
def test_one_endless_line(gigabytes: int, suffix: str, pack: Pack, input_dir: Path, output_dir: Path) -> None:
    found = run_with_bomb(pack(repeated(b"\0", gigabytes)), suffix, input_dir, output_dir)
    assert (found["lines"], found["accepted"], found["rejects"], found["blank"]) == (21, 20, 1, 0)
    assert found["findings"] == [
        f"1 line was rejected, in {input_dir}/{BOMB}{suffix}, line 1: "
        f"expected a line of at most 16,000,000 bytes, found {gigabytes << 30:,}"
    ]


@SIZES
def test_blank_lines(gigabytes: int, input_dir: Path, output_dir: Path) -> None:
    found = run_with_bomb(gzipped(repeated(b"\n", gigabytes)), ".gz", input_dir, output_dir)
    assert (found["accepted"], found["blank"], found["findings"]) == (20, gigabytes << 30, [])


def numbered(count: int, at_once: int) -> Iterator[bytes]:
    """Yield short valid lines without a row, numbered one by one."""
    line = '{"channel":"ticker","timestamp":"2025-11-26T14:00:00Z","sequence_num":%d,"events":[]}\n'
    for start in range(0, count, at_once):
        yield "".join([line % number for number in range(start, start + at_once)]).encode()


@pytest.mark.slow
def test_short_messages(input_dir: Path, output_dir: Path) -> None:
    found = run_with_bomb(gzipped(numbered(12_000_000, 100_000)), ".gz", input_dir, output_dir)
    assert (found["lines"], found["accepted"], found["findings"]) == (12_000_020, 12_000_020, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", [b"[],", b"[[[[[[[[]]]]]]]],", b'{"a":0},', b'"",'], ids=["lists", "deep", "objects", "texts"]
)
def test_a_line_of_many_values(piece: bytes, input_dir: Path, output_dir: Path) -> None:
    line = b'{"channel":"ticker","sequence_num":0,"events":[' + piece * (15_900_000 // len(piece)) + b"0]}\n"
    found = run_with_bomb(gzipped([line]), ".gz", input_dir, output_dir, VALUES_LIMIT_MB)
    assert (found["accepted"], found["rejects"]) == (20, 1)
