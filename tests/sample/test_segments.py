"""Segments: names, rotation, codecs, and what is left after a failure."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from etl_ray.errors import ConfigError, StorageError
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.sample.options import Compression
from etl_ray.sample.segments import SegmentWriter

from .conftest import Recording
from .witness import unpacked

SMALL = SampleOptions(minutes=0.1, products=("ETH-USD",), rate=20, levels=100, connections=1, segment_mb=0.1)
HOUR_NS = 3600 * 10**9
MIDNIGHT_NS = 1_764_201_600 * 10**9


def test_names_carry_the_hour_of_arrival_and_a_running_number(recording: Recording) -> None:
    names = [Path(path).name for path in recording.report.paths]
    assert names == sorted(names)
    assert [name[-12:] for name in names] == [f"{number:05d}.ndjson" for number in range(1, len(names) + 1)]
    assert {name[:-13] for name in names} == {"segment_20251126T23", "segment_20251127T00"}
    for path in recording.report.paths:
        for line in Path(path).read_text("ascii").splitlines():
            capture = line.partition('"capture_ts":')[2].lstrip()[1:14]
            assert capture in ("", f"{path[-24:-20]}-{path[-20:-18]}-{path[-18:-13]}"), path


def test_rotation_cuts_connections_in_the_middle(recording: Recording) -> None:
    sizes = [Path(path).stat().st_size for path in recording.report.paths]
    first_lines = [Path(path).read_text("ascii").partition("\n")[0] for path in recording.report.paths]
    assert '"sequence_num":0,' in first_lines[0]
    assert all('"sequence_num":0,' not in line and '"sequence_num": 0,' not in line for line in first_lines[1:])
    # All but the last of an hour are full.
    assert sum(1_000_000 <= size < 1_200_000 for size in sizes) == len(sizes) - 2


def test_rotation_by_size_and_hour(tmp_path: Path) -> None:
    progress: list[int] = []
    with SegmentWriter(str(tmp_path), compress="none", segment_bytes=6, on_progress=progress.append) as writer:
        for line, capture_ns in (
            ("aa\n", MIDNIGHT_NS - 1),
            ("b\n", MIDNIGHT_NS),
            ("ccc\n", MIDNIGHT_NS),
            ("d\n", MIDNIGHT_NS),
            ("eeeeeeee\n", MIDNIGHT_NS + HOUR_NS),
        ):
            writer.write(line, capture_ns=capture_ns)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {
        "segment_20251126T23_00001.ndjson": "aa\n",
        "segment_20251127T00_00002.ndjson": "b\nccc\n",
        "segment_20251127T00_00003.ndjson": "d\n",
        "segment_20251127T01_00004.ndjson": "eeeeeeee\n",
    }
    assert writer.paths == [str(tmp_path / name) for name in sorted(written)]
    assert (writer.bytes, progress) == (20, [3, 9, 11, 20])


@pytest.mark.parametrize(
    ("compress", "suffix", "unpack"),
    [
        ("gz", ".gz", gzip.decompress),
        ("zst", ".zst", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ],
)
def test_compressed_segments_unpack_to_the_plain_ones(
    tmp_path: Path, compress: str, suffix: str, unpack: Callable[[bytes], bytes]
) -> None:
    plain = write_sample(str(tmp_path / "plain"), SMALL)
    options = SampleOptions(**(vars(SMALL) | {"compress": compress}))
    packed = write_sample(str(tmp_path / "packed"), options)
    again = write_sample(str(tmp_path / "again"), options)
    assert len(plain.paths) > 3
    assert [Path(path).name for path in packed.paths] == [Path(path).name + suffix for path in plain.paths]
    for plain_path, packed_path, again_path in zip(plain.paths, packed.paths, again.paths, strict=True):
        data = Path(packed_path).read_bytes()
        assert unpack(data) == Path(plain_path).read_bytes()
        assert data == Path(again_path).read_bytes()
    assert (packed.bytes, packed.messages) == (plain.bytes, plain.messages)


@pytest.mark.parametrize("compress", ["none", "gz", "zst"])
def test_a_cut_ends_a_segment_as_if_its_collector_had_died(tmp_path: Path, compress: Compression) -> None:
    seen: list[int] = []
    with SegmentWriter(str(tmp_path), compress=compress, segment_bytes=100, on_progress=seen.append) as writer:
        writer.write("whole\n" * 10, capture_ns=MIDNIGHT_NS)
        writer.write("hal", capture_ns=MIDNIGHT_NS)
        assert (writer.segment, writer.line) == ("segment_20251127T00_00001.ndjson", 2)
        writer.cut()
    (path,) = tmp_path.iterdir()
    assert writer.paths == [str(path)]
    assert unpacked(str(path)) == (b"whole\n" * 10 + b"hal", compress == "none")
    assert seen == [63]


def test_gzip_headers_hold_neither_name_nor_time(tmp_path: Path) -> None:
    report = write_sample(str(tmp_path), SampleOptions(**(vars(SMALL) | {"compress": "gz"})))
    assert Path(report.paths[0]).read_bytes()[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_progress_ends_at_the_size_of_the_sample(tmp_path: Path) -> None:
    seen: list[int] = []
    report = write_sample(str(tmp_path), SMALL, on_progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[-1] == report.bytes


def test_an_interruption_leaves_whole_segments_only(tmp_path: Path) -> None:
    whole = write_sample(str(tmp_path / "whole"), SMALL)

    def interrupt(unpacked_bytes: int) -> None:
        if unpacked_bytes > 250_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(str(tmp_path / "broken"), SMALL, on_progress=interrupt)
    left = sorted(path.name for path in (tmp_path / "broken").iterdir())
    assert left == [Path(path).name for path in whole.paths[:2]]
    for name in left:
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError) as refusal:
        write_sample(str(tmp_path), SMALL)
    assert str(refusal.value) == (
        "sample OUT: expected a folder that is new, empty or holds hidden files only,"
        f" found {str(tmp_path)!r} with 1 entries, the first 'notes.txt'"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=r"sample OUT: expected a folder .* File exists"):
        write_sample(str(tmp_path / "file"), SMALL)
    assert (tmp_path / "file").read_text() == "mine"


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("mine")
    report = write_sample(str(tmp_path), SMALL)
    assert sorted(str(path) for path in tmp_path.iterdir()) == [str(tmp_path / ".DS_Store"), *report.paths]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    rival = tmp_path / "segment_20251127T00_00001.ndjson"
    with (
        pytest.raises(StorageError, match="appeared while the sample was written"),
        SegmentWriter(str(tmp_path), compress="none", segment_bytes=100) as writer,
    ):
        writer.write("a\n", capture_ns=MIDNIGHT_NS)
        rival.write_text("theirs")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {rival.name: "theirs"}
