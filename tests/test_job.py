"""The whole job as its users meet it: `ETLJob`, and `etl-ray run` with its exit codes."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as ds
import pytest

import etl_ray
from etl_ray.cli import main
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError
from etl_ray.job import ETLJob
from etl_ray.sample import SampleOptions, SampleReport, write_sample
from tests.reference import reference

SAMPLE = SampleOptions(
    minutes=0.1, products=("BTC-USD", "ETH-USD"), rate=8, levels=30, segment_mb=0.1, start="2025-11-26T23:59:57Z"
)
MIDNIGHT_NS = 1_764_201_600_000_000_000
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> SampleReport:
    return write_sample(str(tmp_path_factory.mktemp("sample")), SAMPLE)


@pytest.fixture
def recording(report: SampleReport, tmp_path: Path) -> Path:
    """Return a directory of segments for a test to change."""
    return Path(shutil.copytree(Path(report.paths[0]).parent, tmp_path / "recording"))


@pytest.fixture
def etl_ray_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line here and returns exit code, standard output and error."""

    def run_command(*arguments: object) -> tuple[int, str, str]:
        command = ["etl-ray", "run", *(str(argument) for argument in arguments), "--engine", "local"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as exited:
            main()
        printed = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return exited.value.code, printed.out, printed.err

    return run_command


def manifests_of(output: Path) -> list[str]:
    return sorted(path.name for path in output.glob("_etl_ray/manifests/*"))


class TestETLJob:
    def test_process_all(self, recording: Path, output_dir: Path, report: SampleReport) -> None:
        job = ETLJob(str(recording), str(output_dir), config=JobConfig(engine="local"))
        summary = job.process_all()
        assert (summary.lines, summary.bytes, summary.messages) == (report.lines, report.bytes, report.messages)
        assert summary.segments == len(report.paths)
        assert summary.output == str(output_dir)
        assert (summary.damaged, summary.findings, summary.unchanged) == ((), (), False)
        assert summary.exit_code(strict=True) == 0
        truth = reference([recording])
        assert summary.rows == {name: len(rows) for name, rows in truth.tables.items() if rows}
        assert list(summary.rows) == [name for name in etl_ray.TABLES if name in summary.rows]
        again = job.process_all()
        assert again.unchanged
        of_each = {"seconds": 0, "unchanged": 0, "segments_read": 0}
        assert {**again.as_dict(), **of_each} == {**summary.as_dict(), **of_each}

    @pytest.mark.parametrize(
        ("start", "end"),
        [("2025-11-26", "2025-11-27"), ("2025-11-26T00:00:00Z", MIDNIGHT_NS), (MIDNIGHT_NS - 10**12, MIDNIGHT_NS)],
    )
    def test_process_date_range(self, start: str | int, end: str | int, recording: Path, output_dir: Path) -> None:
        config = JobConfig(engine="local", products=("ETH-USD",))
        job = ETLJob(str(recording), str(output_dir), config=config)
        summary = job.process_date_range(start, end)
        truth = reference([recording], products=["ETH-USD"], end_ns=MIDNIGHT_NS)
        assert summary.rows == {name: len(rows) for name, rows in truth.tables.items() if rows}
        assert (summary.accepted, summary.out_of_range) == (truth.counts.accepted, truth.counts.out_of_range)
        assert ds.dataset(output_dir / "level2", partitioning=None).count_rows() == summary.rows["level2"]
        assert job.config.start is job.config.end is None

    def test_an_empty_range_is_refused(self, recording: Path, output_dir: Path) -> None:
        job = ETLJob(str(recording), str(output_dir))
        with pytest.raises(ConfigError, match="expected a time after start"):
            job.process_date_range("2025-11-27", "2025-11-27")
        assert not output_dir.exists()

    def test_paths_are_taken_as_well_as_text(self, recording: Path, output_dir: Path) -> None:
        job = ETLJob(recording, output_dir, config=JobConfig(engine="local"))  # type: ignore[arg-type]
        assert job.process_all().output == str(output_dir)


class TestExitCodes:
    def test_0_committed(self, recording: Path, output_dir: Path, report: SampleReport, etl_ray_run: Run) -> None:
        code, out, err = etl_ray_run(recording, output_dir, "--quiet", "--json", "--strict")
        assert (code, err) == (0, "")
        told = json.loads(out.splitlines()[-1])
        assert (told["lines"], told["rejects"], told["segments"]) == (report.lines, 0, len(report.paths))
        assert told["messages"] == report.messages
        assert manifests_of(output_dir) == ["000001.json"]
        code, out, _ = etl_ray_run(recording, output_dir, "--quiet", "--json")
        assert (code, json.loads(out)["unchanged"]) == (0, True)
        assert manifests_of(output_dir) == ["000001.json"]

    def test_1_wrong_input(self, recording: Path, output_dir: Path, etl_ray_run: Run) -> None:
        for path in recording.iterdir():
            path.write_text("no message\n" * 5)
        code, out, err = etl_ray_run(recording, output_dir, "--quiet", "--json")
        assert (code, out) == (1, "")
        assert err.startswith("etl-ray: error: 20 of the first 20 lines were rejected, more than half: expected a ")
        assert manifests_of(output_dir) == []

    def test_2_refused(self, recording: Path, output_dir: Path, etl_ray_run: Run) -> None:
        code, out, err = etl_ray_run(recording, recording / "out", "--quiet")
        assert (code, out) == (2, "")
        assert err.startswith(f"etl-ray: error: OUTPUT {recording}/out lies inside INPUT {recording}; expected ")
        assert etl_ray_run(recording, output_dir, "--quiet")[0] == 0
        code, _, err = etl_ray_run(recording, output_dir, "--quiet", "--products", "ETH-USD,BTC-USD")
        assert code == 2
        assert 'products: [] there, ["BTC-USD", "ETH-USD"] here' in err
        assert etl_ray_run(recording, output_dir, "--quiet", "--products", "ETH-USD", "--overwrite")[0] == 0
        assert {path.name for path in (output_dir / "level2").iterdir() if any(path.rglob("*.parquet"))} == {
            "product_id=ETH-USD"
        }

    def test_3_damaged_or_strict(self, recording: Path, tmp_path: Path, etl_ray_run: Run) -> None:
        first, *_, last = sorted(recording.iterdir())
        with first.open("ab") as file:
            file.write(b"garbage\n")
        assert etl_ray_run(recording, tmp_path / "out", "--quiet")[0] == 0
        code, _, err = etl_ray_run(recording, tmp_path / "out", "--quiet", "--strict")
        assert code == 3
        assert "--strict: 1 line was rejected" in err
        (recording / f"{last.name}9.ndjson.gz").write_bytes(b"\x1f\x8b\x08\x00")
        code, _, err = etl_ray_run(recording, tmp_path / "out", "--quiet")
        assert code == 3
        assert f"{last.name}9.ndjson.gz: damaged after 0 unpacked bytes: " in err
        assert manifests_of(tmp_path / "out") == ["000001.json", "000002.json"]

    def test_4_locked(self, recording: Path, output_dir: Path, etl_ray_run: Run) -> None:
        assert etl_ray_run(recording, output_dir, "--quiet")[0] == 0
        with (output_dir / "_etl_ray" / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            code, out, err = etl_ray_run(recording, output_dir, "--quiet", "--overwrite")
        assert (code, out) == (4, "")
        assert err == f"etl-ray: error: another run is writing to {output_dir}; wait until it has ended\n"
        assert manifests_of(output_dir) == ["000001.json"]
