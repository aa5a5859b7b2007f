"""Bad files: what could be read is kept, a damaged segment is named with its place, and the others go on."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from etl_ray.cli.entry import main
from etl_ray.errors import ConfigError, StorageError, WrongInputError
from etl_ray.orchestrators import run_plan
from etl_ray.readers.segments import Unit
from etl_ray.summary import RunSummary
from tests.bad_input.recordings import good, good_lines, kept, run
from tests.orchestrators.outputs import rows_of, table_files_of

BESIDE = "segment_20251126T14_00001.ndjson"
BAD = "segment_20251126T15_00002.ndjson"
BESIDE_KEPT = [float(number) for number in range(20)]
Pack = Callable[[bytes], bytes]
UNITS = pytest.mark.parametrize("unit_mb", [0.000_2, 128], ids=["in units", "whole"])
PACKED = pytest.mark.parametrize(
    ("suffix", "codec", "pack"), [(".gz", "gzip", gzip.compress), (".zst", "zstd", zstd.compress)], ids=["gz", "zst"]
)


@pytest.fixture
def beside(input_dir: Path) -> Path:
    """Put a good segment into INPUT, for a bad one to stand beside it."""
    (input_dir / BESIDE).write_bytes(good_lines(0, 20))
    return input_dir


def numbers(*ranges: range) -> list[float]:
    return [float(number) for numbers in ranges for number in numbers]


def assert_kept(output: Path, *ranges: range) -> None:
    """Hold the rows of both segments: all of the good one, and those lines of the bad one."""
    of_bad = {BAD: numbers(*ranges)} if ranges else {}
    assert kept(output) == {BESIDE: BESIDE_KEPT, **of_bad}


def damage(summary: RunSummary, strict: bool = False) -> str:
    """Return the only damage, which makes the exit code 3."""
    assert summary.exit_code(strict) == 3
    (told,) = summary.damaged
    return told


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_an_empty_file(suffix: str, beside: Path, output_dir: Path) -> None:
    (beside / f"{BAD}{suffix}").touch()
    summary = run(beside, output_dir)
    assert (summary.segments, summary.lines, summary.damaged, summary.exit_code(strict=False)) == (2, 20, (), 0)
    assert_kept(output_dir)


@PACKED
@pytest.mark.parametrize("left_off", [1, 9, 40])
def test_a_truncated_file(left_off: int, suffix: str, codec: str, pack: Pack, beside: Path, output_dir: Path) -> None:
    first, second = good_lines(20, 10), good_lines(30, 10)
    (beside / f"{BAD}{suffix}").write_bytes(pack(first) + pack(second)[:-left_off])
    told = damage(summary := run(beside, output_dir))
    read = summary.bytes - len(good_lines(0, 20))
    assert told == (
        f"{beside}/{BAD}{suffix}: damaged after {read:,} unpacked bytes: "
        f"the {codec} data is cut: it ends in the middle of a stream"
    )
    assert len(first) <= read <= len(first + second)
    whole = 20 + (first + second)[:read].count(b"\n")
    assert_kept(output_dir, range(20, whole))
    # What a cut line had is told as for other bad lines.
    left = [(row["segment"], row["line"]) for row in rows_of(output_dir, "rejects")]
    assert left == ([(BAD, whole - 20 + 1)] if read not in (len(first), len(first + second)) else [])


@PACKED
def test_a_file_that_breaks_in_the_middle(suffix: str, codec: str, pack: Pack, beside: Path, output_dir: Path) -> None:
    spoiled = pack(good_lines(30, 10))
    packed = pack(good_lines(20, 10)) + spoiled[:10] + b"\xff" * 10 + spoiled[20:] + pack(good_lines(40, 10))
    (beside / f"{BAD}{suffix}").write_bytes(packed)
    told = damage(run(beside, output_dir))
    assert told.startswith(f"{beside}/{BAD}{suffix}: damaged after ")
    assert f" unpacked bytes: broken {codec} data: " in told
    found = kept(output_dir)
    assert found[BESIDE] == BESIDE_KEPT
    assert found[BAD] == numbers(range(20, 20 + len(found[BAD])))
    assert 10 <= len(found[BAD]) <= 20


@PACKED
def test_several_members_in_one_file(suffix: str, codec: str, pack: Pack, beside: Path, output_dir: Path) -> None:
    lines = good_lines(20, 10)
    members = [lines[:500], b"", lines[500:1001], lines[1001:]]
    (beside / f"{BAD}{suffix}").write_bytes(b"".join(pack(member) for member in members))
    summary = run(beside, output_dir)
    assert (summary.lines, summary.rejects, summary.damaged) == (30, 0, ())
    assert_kept(output_dir, range(20, 30))


@pytest.mark.parametrize("garbage", [b"x", b"text\n", b"\xff" * 100], ids=["a byte", "text", "many bytes"])
@PACKED
def test_garbage_behind_the_last_member(
    garbage: bytes, suffix: str, codec: str, pack: Pack, beside: Path, output_dir: Path
) -> None:
    (beside / f"{BAD}{suffix}").write_bytes(pack(good_lines(20, 10)) + garbage)
    assert damage(run(beside, output_dir)) == (
        f"{beside}/{BAD}{suffix}: damaged after {len(good_lines(20, 10)):,} unpacked bytes: "
        f"broken {codec} data: something else follows the end of a stream"
    )
    assert_kept(output_dir, range(20, 30))


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("unit_mb", [0.000_2, 128])
def test_a_plain_name_on_a_packed_file(pack: Pack, unit_mb: float, beside: Path, output_dir: Path) -> None:
    (beside / BAD).write_bytes(pack(good_lines(20, 10)))
    summary = run(beside, output_dir, staging={"unit_mb": unit_mb})
    assert (summary.lines, summary.rejects, summary.damaged) == (30, 0, ())
    assert_kept(output_dir, range(20, 30))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_name_on_a_plain_file(suffix: str, beside: Path, output_dir: Path) -> None:
    (beside / f"{BAD}{suffix}").write_bytes(good_lines(20, 10))
    summary = run(beside, output_dir)
    assert (summary.lines, summary.rejects, summary.damaged) == (30, 0, ())
    assert_kept(output_dir, range(20, 30))


def test_two_files_of_one_identity(beside: Path, output_dir: Path) -> None:
    (beside / "z").mkdir()
    (beside / "z" / f"{BESIDE}.gz").write_bytes(gzip.compress(good_lines(0, 20)))
    with pytest.raises(ConfigError) as raised:
        run(beside, output_dir)
    assert raised.value.exit_code == 2
    assert str(raised.value) == (
        f"two files of one identity {BESIDE!r}: {beside}/{BESIDE} and {beside}/z/{BESIDE}.gz; "
        "expected each segment once"
    )
    assert not output_dir.exists()


def test_a_directory_without_segments(input_dir: Path, output_dir: Path) -> None:
    (input_dir / "notes.txt").write_bytes(good_lines(0, 20))
    (input_dir / f".{BESIDE}").write_bytes(good_lines(0, 20))
    with pytest.raises(ConfigError) as raised:
        run(input_dir, output_dir)
    assert raised.value.exit_code == 2
    assert str(raised.value) == (
        f"no segments in {input_dir}: expected files that end in .ndjson, .ndjson.gz, .ndjson.zst, found 1 other file"
    )
    assert not output_dir.exists()


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let files of these names refuse to be opened."""
    open_path = Path.open

    def open_or_refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name in names:
            raise PermissionError(13, "Permission denied")
        return open_path(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_or_refuse)


@UNITS
def test_an_unreadable_file(unit_mb: float, beside: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (beside / BAD).write_bytes(good_lines(20, 10))
    refuse(monkeypatch, BAD)
    told = damage(run(beside, output_dir, staging={"unit_mb": unit_mb}))
    assert told == f"{beside}/{BAD}: damaged after 0 unpacked bytes: cannot read {beside}/{BAD}: Permission denied"
    assert_kept(output_dir)


def test_an_unreadable_directory(beside: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (beside / "below").mkdir()
    scandir = os.scandir

    def scan_or_refuse(path: str) -> object:
        if str(path).endswith("below"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan_or_refuse)
    with pytest.raises(StorageError) as raised:
        run(beside, output_dir)
    assert raised.value.exit_code == 1
    assert str(raised.value) == f"cannot look at {beside}/below: Permission denied"
    assert not output_dir.exists()


def after_planning(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Let `change` happen once the units are planned."""
    plan = run_plan.plan_units

    def plan_and_change(*arguments: object) -> tuple[Unit, ...]:
        units = plan(*arguments)  # type: ignore[arg-type]
        change()
        return units

    monkeypatch.setattr(run_plan, "plan_units", plan_and_change)


@UNITS
def test_a_file_that_vanishes(unit_mb: float, beside: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = beside / BAD
    path.write_bytes(good_lines(20, 10))
    after_planning(monkeypatch, path.unlink)
    assert damage(run(beside, output_dir, staging={"unit_mb": unit_mb})) == (
        f"{path}: damaged after 0 unpacked bytes: it vanished after planning: "
        f"cannot look at {path}: no such file, directory or bucket"
    )
    assert_kept(output_dir)


@UNITS
def test_a_file_that_shrinks(unit_mb: float, beside: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = beside / BAD
    path.write_bytes(good_lines(20, 10))
    left = len(good_lines(20, 6))
    after_planning(monkeypatch, lambda: os.truncate(path, left + 9))
    whole = len(good_lines(20, 10))
    assert damage(run(beside, output_dir, staging={"unit_mb": unit_mb})) == (
        f"{path}: damaged after {left + 9 if unit_mb > 1 else left:,} unpacked bytes: "
        f"it changed after planning: it had {whole:,} bytes and has {left + 9:,} now"
    )
    assert_kept(output_dir, range(20, 26))
    (reject,) = rows_of(output_dir, "rejects")
    assert (reject["segment"], reject["line"], reject["byte_offset"], reject["length"]) == (BAD, 7, left, 9)


@pytest.mark.parametrize("size", ["same", "other"])
def test_a_file_that_is_replaced(size: str, beside: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = beside / BAD
    path.write_bytes(good_lines(20, 10))
    other = beside.parent / "other"
    other.write_bytes(good_lines(30, 10 if size == "same" else 12))
    os.utime(other, ns=(1, 1))
    after_planning(monkeypatch, lambda: other.replace(path))
    whole = len(good_lines(20, 10))
    told = damage(run(beside, output_dir))
    assert told.startswith(f"{path}: damaged after {whole:,} unpacked bytes: ")
    if size == "same":
        assert " it was rewritten after planning: it was version " in told
    else:
        assert told.endswith(f"it changed after planning: it had {whole:,} bytes and has {whole * 12 // 10:,} now")
    assert_kept(output_dir, range(30, 40))
    # The next run takes what is there now.
    monkeypatch.undo()
    again = run(beside, output_dir)
    assert (again.damaged, again.unchanged) == ((), False)
    assert_kept(output_dir, range(30, 40 if size == "same" else 42))


def test_the_command_line_names_damage_and_the_first_reject(
    beside: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (beside / f"{BAD}.gz").write_bytes(gzip.compress(good_lines(20, 10) + b"garbage\n" + good(30)[:50])[:-1])
    arguments = ["etl-ray", "run", str(beside), str(output_dir), "--engine", "local", "--quiet"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 3
    size = len(good_lines(20, 10))
    assert capsys.readouterr().err.splitlines() == [
        f"etl-ray: warning: damaged segment: {beside}/{BAD}.gz: damaged after {size + 8 + 50:,} unpacked bytes: "
        "the gzip data is cut: it ends in the middle of a stream",
        f"etl-ray: warning: 2 lines were rejected, the first in {beside}/{BAD}.gz, line 11: not JSON: unexpected "
        "character, expected a JSON value (byte 0 of the line); the table rejects says where each is and why",
    ]


@pytest.mark.parametrize("unit_mb", [0.000_3, 128])
def test_the_wrong_input_is_told_with_its_first_bad_line(unit_mb: float, input_dir: Path, output_dir: Path) -> None:
    (input_dir / BESIDE).write_bytes(good_lines(0, 5))
    (input_dir / BAD).write_bytes(good_lines(5, 5) + b'{"channel":"level3"}\n' * 12)
    with pytest.raises(WrongInputError) as raised:
        run(input_dir, output_dir, staging={"unit_mb": unit_mb})
    assert raised.value.exit_code == 1
    assert str(raised.value) == (
        "12 of the first 22 lines were rejected, more than half: expected a recording of coinbase messages. "
        f"Nothing was committed. The first of them is in {input_dir}/{BAD}, line 6: channel: expected one of "
        "l2_data, market_trades, ticker, ticker_batch, candles, status, heartbeats, subscriptions, found 'level3'"
    )
    assert table_files_of(output_dir) == {}


def test_a_single_reject_is_told_in_full(beside: Path, output_dir: Path) -> None:
    (beside / BAD).write_bytes(good_lines(20, 2) + b'{"channel":"l2_data","timestamp":7}')
    assert run(beside, output_dir).findings == (
        f"1 line was rejected, in {beside}/{BAD}, line 3: "
        "timestamp: expected a UTC time with 0 to 9 fraction digits, found 7",
    )
