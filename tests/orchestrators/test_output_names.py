"""OUTPUT may be named in any way: what is listed there is recognised as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob

LINE = (
    b'{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":%d,'
    b'"events":[{"current_time":"2025-11-26 14:00:00 +0000 UTC m=+1.0","heartbeat_counter":%d}]}\n'
)


@pytest.mark.parametrize("name", ["out", "./out", "in/../out", "out/", "file://{root}/out", "{root}/out//", "~/out"])
def test_a_second_run_finds_the_files_of_the_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("in").mkdir()
    Path("in/segment_20251126T14_00001.ndjson").write_bytes(b"".join(LINE % (n, n) for n in range(5)))
    output = name.format(root=tmp_path)
    job = ETLJob("in", output, config=JobConfig(engine="local"))

    assert not job.process_all().unchanged
    assert [
        path.parent.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.glob("out/[!_]*/**/*.parquet"))
    ] == [
        "out/connections",
        "out/heartbeats/date=2025-11-26",
    ]
    assert job.process_all().unchanged
