"""Units that bring their process down are left out, and said so; everything else is committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray.orchestrators import isolation
from etl_ray.orchestrators.normalize import Normalizer
from tests.orchestrators.jobs import FEW, config, run
from tests.orchestrators.outputs import rows_of, strays_of, table_files_of

ROOT = Path(__file__).parents[2]
POISON = "segment_20251126T23_00002"
DYING = f"kill:write.before:rows/{POISON}"
"""Dies over a piece that is written only when the lines of this segment are read."""


def etl_ray(recording: Path, output: Path, failpoint: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run the job in a process of its own."""
    settings = output.parent / "config.yaml"
    settings.write_text(config(**FEW).to_yaml())
    command = [sys.executable, "-m", "jobs.run_etl", recording, output, "--config", settings, "--quiet", "--json"]
    environment = os.environ | {"ETL_RAY_FAILPOINT": failpoint}
    return subprocess.run(command, env=environment, capture_output=True, check=False, cwd=ROOT)


def test_a_unit_that_crashes_its_process_each_time_is_left_out(
    recording: Path, output_dir: Path, tmp_path: Path
) -> None:
    assert etl_ray(recording, output_dir, DYING).returncode == -signal.SIGKILL
    done = etl_ray(recording, output_dir, DYING)
    assert done.returncode == 3
    summary = json.loads(done.stdout.splitlines()[-1])
    (damaged,) = summary["damaged"]
    assert f"{POISON}.ndjson: damaged after 0 unpacked bytes: the process that read it was ended by SIGKILL" in damaged
    assert f"{POISON}.ndjson is left out".encode() in done.stderr
    assert strays_of(output_dir) == []
    (recording / f"{POISON}.ndjson").write_bytes(b"")
    run(recording, tmp_path / "without", **FEW)
    rows = [row for row in rows_of(output_dir, "level2") if POISON in str(row["segment"])]
    assert rows == []
    assert rows_of(output_dir, "market_trades") == rows_of(tmp_path / "without", "market_trades")


def test_a_unit_that_was_only_unlucky_is_read(recording: Path, output_dir: Path, tmp_path: Path) -> None:
    assert etl_ray(recording, output_dir, DYING).returncode == -signal.SIGKILL
    done = etl_ray(recording, output_dir)
    assert (done.returncode, done.stderr) == (0, b"")
    run(recording, tmp_path / "undisturbed", **FEW)
    assert table_files_of(output_dir) == table_files_of(tmp_path / "undisturbed")


def test_the_second_time_a_unit_has_a_process_of_its_own(
    recording: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert etl_ray(recording, output_dir, DYING).returncode == -signal.SIGKILL
    pids: list[str] = []
    begun = isolation._isolated

    def spy(unit: object, *args: object) -> object:
        pids.append(str(unit))
        return begun(unit, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(isolation, "_isolated", spy)
    run(recording, output_dir, **FEW)
    assert len(pids) == 1
    assert POISON in pids[0]


def test_an_exception_in_the_process_is_told(
    recording: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_START", "raise ValueError('no such thing')")
    monkeypatch.setattr(isolation.storage, "create_new", lambda *_args, **_kwargs: False, raising=True)
    reasons: list[str] = []
    monkeypatch.setattr(Normalizer, "left_out", lambda _self, _unit, reason: reasons.append(reason))
    unit = type("Unit", (), {"name": "u", "segment": type("Segment", (), {"url": "x"})})
    monkeypatch.setattr(isolation, "to_json", lambda _record: b"{}")
    options = type("Options", (), {"staging": str(output_dir)})
    isolation.normalized(unit, options, Normalizer.__new__(Normalizer))  # type: ignore[arg-type]
    assert reasons == [
        "the process that read it ended with code 1, twice: ValueError in <string>, line 1; nothing of it is used"
    ]
