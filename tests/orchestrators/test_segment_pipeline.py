"""`SegmentPipeline`: named segments, chosen channels, receipts."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_ray import ChannelConfig, ETLJob, JobConfig, SegmentPipeline
from etl_ray.errors import ConfigError

LOCAL = JobConfig(engine="local")


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*.parquet")
        if "_etl_ray" not in path.parts
    }


def test_receipts_account_for_every_unit_in_arrival_order(sample_dir: Path, output_dir: Path) -> None:
    paths = sorted(sample_dir.iterdir())
    receipts = SegmentPipeline(str(output_dir), config=LOCAL).process([str(path) for path in reversed(paths)])
    assert [receipt.unit.rsplit("-", 2)[0] for receipt in receipts] == [path.name for path in paths]
    lines = [path.read_bytes().count(b"\n") for path in paths]
    assert [receipt.counts.lines for receipt in receipts] == lines
    assert [receipt.counts.bytes for receipt in receipts] == [path.stat().st_size for path in paths]


def test_all_segments_give_what_a_job_over_the_directory_gives(
    sample_dir: Path, output_dir: Path, tmp_path: Path
) -> None:
    SegmentPipeline(str(output_dir), config=LOCAL).process(sorted(str(path) for path in sample_dir.iterdir()))
    ETLJob(str(sample_dir), str(tmp_path / "job"), config=LOCAL).process_all()
    assert files_of(output_dir) == files_of(tmp_path / "job") != {}


def test_a_second_call_does_nothing_and_returns_the_same_receipts(sample_dir: Path, output_dir: Path) -> None:
    pipeline = SegmentPipeline(str(output_dir), config=LOCAL)
    first = pipeline.process([str(sample_dir)])
    times = {path: path.stat().st_mtime_ns for path in output_dir.rglob("*.parquet")}
    assert pipeline.process([str(sample_dir)]) == first
    assert {path: path.stat().st_mtime_ns for path in output_dir.rglob("*.parquet")} == times


def test_channels_that_are_not_named_are_left_out(sample_dir: Path, output_dir: Path) -> None:
    channels = {"ticker": ChannelConfig(partition_cols=("date",)), "heartbeats": {}}
    SegmentPipeline(str(output_dir), channels, config=LOCAL).process([str(sample_dir)])
    tables = {"ticker", "heartbeats", "coverage", "connections"}
    assert {path.split("/")[0] for path in files_of(output_dir)} == tables
    of_days = {path for path in files_of(output_dir) if not path.startswith("connections/")}
    assert {path.split("/")[1].split("=")[0] for path in of_days} == {"date"}


def test_unknown_channels_and_missing_segments_are_refused(sample_dir: Path, output_dir: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'ticker'"):
        SegmentPipeline(str(output_dir), {"tickr": {}})
    with pytest.raises(ConfigError, match="nothing at"):
        SegmentPipeline(str(output_dir), config=LOCAL).process([str(sample_dir), str(sample_dir / "none.ndjson")])
    assert not output_dir.exists()
