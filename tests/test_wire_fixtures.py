"""The job over the payloads in the venue's shapes, file by file and all together."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from etl_ray.config import CHANNELS
from etl_ray.errors import WrongInputError
from etl_ray.tables import TABLES, Numbers
from tests.reference.against import Asked, assert_summary, pad, run, run_and_compare, table_files
from tests.reference.compare import assert_equal, read_output

WIRE = Path(__file__).parent / "data" / "coinbase"
SEGMENTS = sorted(WIRE.glob("*.ndjson"))
MIDNIGHT_NS = 1_764_201_600_000_000_000  # 2025-11-27

SELECTIONS = {
    "everything": Asked(),
    "decimal": Asked(numbers="decimal"),
    "level2": Asked(channels=("level2",)),
    "ticker": Asked(channels=("ticker",)),
    "status": Asked(channels=("status",)),
    "errors": Asked(channels=("errors",)),
    "control": Asked(channels=("heartbeats", "subscriptions")),
    "all but errors": Asked(channels=tuple(name for name in CHANNELS if name != "errors")),
    "one product": Asked(products=("ETH-USD",)),
    "hostile products": Asked(products=("../../etc", "..", "É%2F=", "\x00\n", "btc-usd")),
    "usdc": Asked(products=("BTC-USDC", "USDT-USDC"), numbers="decimal"),
    "no such product": Asked(products=("DOGE-USD",)),
    "first day": Asked(end_ns=MIDNIGHT_NS),
    "second day": Asked(start_ns=MIDNIGHT_NS),
    "an instant": Asked(start_ns=1_764_165_600_000_000_000, end_ns=1_764_165_600_000_000_001),
    "one nanosecond later": Asked(start_ns=1_764_165_600_000_000_001, end_ns=1_764_165_615_000_000_000),
    "all of it": Asked(
        channels=("level2", "status"), products=("BTC-USD", "NEW-USD"), start_ns=1_764_165_601_000_000_000
    ),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of all fixtures, in three codecs, in which rejects are less than half."""
    directory = tmp_path_factory.mktemp("recording")
    for number, segment in enumerate(SEGMENTS):
        raw = segment.read_bytes()
        if number % 3 == 0:
            shutil.copy(segment, directory)
        elif number % 3 == 1:
            (directory / f"{segment.name}.gz").write_bytes(gzip.compress(raw[:100]) + gzip.compress(raw[100:]))
        else:
            frames = [pa.compress(part, codec="zstd", asbytes=True) for part in (raw[:100], raw[100:])]
            (directory / f"{segment.name}.zst").write_bytes(b"".join(frames))
    pad(directory, 400)
    return directory


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("segment", SEGMENTS, ids=lambda segment: segment.stem)
def test_fixture_alone(segment: Path, numbers: Numbers, input_dir: Path, output_dir: Path) -> None:
    shutil.copy(segment, input_dir)
    if segment.name.startswith("invalid"):
        pad(input_dir, 400)
    run_and_compare(input_dir, output_dir, Asked(numbers=numbers))


@pytest.mark.parametrize("asked", SELECTIONS.values(), ids=SELECTIONS)
def test_selections_of_all_fixtures(asked: Asked, recording: Path, output_dir: Path) -> None:
    counts = run_and_compare(recording, output_dir, asked)
    assert 0 < counts.accepted < counts.lines


@pytest.mark.parametrize(
    ("unit_bytes", "block_bytes", "rows_per_file"),
    [(2_000, 100, 1), (4_096, 4_096, 3), (100_000, 1, 7)],
)
@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_any_cut_gives_the_same_rows(
    unit_bytes: int, block_bytes: int, rows_per_file: int, numbers: Numbers, input_dir: Path, output_dir: Path
) -> None:
    for segment in SEGMENTS:
        shutil.copy(segment, input_dir)
    pad(input_dir, 400)
    sizes = Asked(numbers=numbers, unit_bytes=unit_bytes, block_bytes=block_bytes, rows_per_file=rows_per_file)
    run_and_compare(input_dir, output_dir, sizes)


def test_the_same_input_gives_the_same_bytes(recording: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(recording, tmp_path / name, Asked())
    first = table_files(tmp_path / "one")
    assert first == table_files(tmp_path / "two")
    assert {name.split("/")[0] for name in first} == set(TABLES) - {"bars", "trades_with_book", "features"}


def long_lines(end: bytes) -> bytes:
    heartbeat = b'{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":1,"events":[]%s}'
    short = heartbeat % b""
    fits = heartbeat % (b" " * (200 - len(short)))
    lines = [
        *(short, fits, fits + end, fits + b" ", heartbeat % (b" " * 70_000), b" " * 201, b" " * 200, short),
        b'{"channel":"ticker","x":"' + b"y" * 200,
        b"z" * 70_000 + b'"channel":"ticker"',
        b"z" * 65_518 + b'"channel":"ticker"',
        *(short,) * 8,
        fits + b"  ",
    ]
    return b"\n".join(lines) + b"\n"


def test_long_lines_are_rejected_by_their_length_alone(input_dir: Path, output_dir: Path) -> None:
    (input_dir / "s_20251126.ndjson").write_bytes(long_lines(b"x"))
    counts = run_and_compare(input_dir, output_dir, Asked(max_line_bytes=200))
    assert (counts.rejected, counts.blank, counts.accepted) == (8, 1, 11)


def test_carriage_returns_of_long_lines(input_dir: Path, output_dir: Path) -> None:
    (input_dir / "s_20251126.ndjson").write_bytes(long_lines(b"\r"))
    run_and_compare(input_dir, output_dir, Asked(max_line_bytes=200))


def test_more_rejects_than_half_is_the_wrong_input(input_dir: Path, output_dir: Path, tmp_path: Path) -> None:
    segment = input_dir / "s.ndjson"
    segment.write_bytes(b'{}\n{"channel":"user"}\n')
    assert run_and_compare(input_dir, tmp_path / "half", Asked()).rejected == 1
    segment.write_bytes(b'{}\n{"channel":"user"}\n[]\n\n')
    assert run_and_compare(input_dir, tmp_path / "half and blank", Asked()).rejected == 2
    segment.write_bytes(b'{}\n{"channel":"user"}\n[]\n')
    with pytest.raises(WrongInputError):
        run(input_dir, output_dir, Asked())
    assert not output_dir.exists() or table_files(output_dir) == {}


def test_nothing_but_empty_segments(input_dir: Path, output_dir: Path) -> None:
    (input_dir / "empty.ndjson").write_bytes(b"")
    (input_dir / "blank.ndjson").write_bytes(b"\xef\xbb\xbf\n \t\r\n ")
    counts = run_and_compare(input_dir, output_dir, Asked())
    assert (counts.lines, counts.blank, counts.bytes) == (3, 3, 9)


@pytest.mark.parametrize("end", [b"\xef\xbb\xbf", b"\n" * 3 + b"x" * 201])
def test_every_byte_is_counted(end: bytes, input_dir: Path, output_dir: Path) -> None:
    (input_dir / "s.ndjson").write_bytes(end)
    assert run_and_compare(input_dir, output_dir, Asked(max_line_bytes=200)).bytes == len(end)


def test_a_difference_would_be_seen(recording: Path, output_dir: Path) -> None:
    summary = run(recording, output_dir, Asked())
    truth = Asked().truth([recording])
    spoiled = replace(truth, tables=truth.tables | {"errors": truth.tables["errors"][1:]})
    with pytest.raises(AssertionError, match="errors"):
        assert_equal(read_output(output_dir), spoiled)
    with pytest.raises(AssertionError):
        assert_summary(summary, spoiled)
