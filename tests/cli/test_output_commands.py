"""`etl-ray status`, `verify` and `compact` on an output that grows over a midnight."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray.orchestrators.lock import exclusive
from etl_ray.sample import SampleOptions, write_sample
from tests.cli.fakes import Execute

ROOT = Path(__file__).parent.parent.parent
SAMPLE = SampleOptions(
    minutes=0.1, products=("BTC-USD",), rate=5, levels=10, segment_mb=0.012, start="2025-11-26T23:59:57Z"
)
CLOSED = "date=2025-11-26"


@pytest.fixture
def output(etl_ray: Execute, tmp_path: Path) -> Path:
    """Return an output that two runs have made; `recording` is in the current directory."""
    write_sample("all", SAMPLE)
    Path("recording").mkdir()
    segments = sorted(Path("all").iterdir())
    for some in (segments[:2], segments[2:]):
        for path in some:
            shutil.copy2(path, "recording")
        assert etl_ray("run", "recording", "OUT", "--engine", "local", "--quiet").code == 0
    return tmp_path / "OUT"


def level2_files(output: Path) -> list[Path]:
    return sorted(output.glob(f"level2/*/{CLOSED}/*.parquet"))


def test_status_shows_runs_tables_and_where_every_line_went(output: Path, etl_ray: Execute) -> None:
    shown = etl_ray("status", "OUT")

    assert (shown.code, shown.err) == (0, "")
    lines = [line.rstrip() for line in shown.out.splitlines()]
    assert lines[0] == "OUT: 2 committed runs, the latest of them:"
    segments = len(list(Path("recording").iterdir()))
    assert [line.split()[7] for line in lines if line.startswith(("│   1 │", "│   2 │"))] == ["2", str(segments)]
    assert any(line.startswith("│ level2 ") for line in lines)
    assert lines[-3].startswith("Lines    ")
    assert " = " in lines[-3]
    assert lines[-2:] == [f"Done     {segments} segments", "Pending  0 segments"]


def test_status_shows_what_is_not_as_it_should_be(output: Path, etl_ray: Execute) -> None:
    for number in range(12):
        Path(f"recording/segment_20251127T01_000{number:02}.ndjson").write_bytes(b"\n")
    sorted(Path("recording").iterdir())[0].unlink()
    level2_files(output)[0].unlink()
    (output / "_etl_ray/runs/abc/tables-000003").mkdir(parents=True)
    (output / "_etl_ray/runs/abc/tables-000003/x").write_bytes(b"x" * 1_500_000)

    lines = [line.rstrip() for line in etl_ray("status", "OUT", "--runs", "1").out.splitlines()]

    text = "\n".join(lines)
    assert "│   1 │" not in text
    begin = lines.index("Pending      12 segments")
    assert lines[begin + 1] == "             segment_20251127T01_00000.ndjson (new)"
    assert lines[begin + 10 : begin + 13] == [
        "             segment_20251127T01_00009.ndjson (new)",
        "             and 2 more",
        "Removed      1 segment",
    ]
    assert (
        "Unfinished   1 file missing and 0 superseded or not committed: the next command that writes to OUTPUT" in text
    )
    assert "Uncommitted  run abc: 1 file, 1.5 MB, below _etl_ray/runs: it is going on, or has died" in text


def test_status_prints_one_line_of_json(output: Path, etl_ray: Execute) -> None:
    shown = etl_ray("status", "OUT", "--json")
    assert (shown.code, shown.out.count("\n")) == (0, 1)
    found = json.loads(shown.out)
    assert (found["output"], found["n_runs"], len(found["runs"]), found["is_balanced"]) == ("OUT", 2, 2, True)


def test_status_of_an_output_without_a_commit(tmp_path: Path, etl_ray: Execute) -> None:
    (tmp_path / "OUT/_etl_ray").mkdir(parents=True)
    shown = etl_ray("status", "OUT")
    assert (shown.code, shown.out.splitlines()[0]) == (0, "OUT: no run is committed.")


@pytest.mark.parametrize("command", ["status", "verify", "compact"])
def test_what_is_no_output_is_refused(command: str, etl_ray: Execute, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refused = etl_ray(command, "mine")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "etl-ray: error: mine is no output of etl-ray: expected the OUTPUT of `etl-ray run`, found no _etl_ray in it\n"
    )


def test_verify_says_that_all_is_as_committed(output: Path, etl_ray: Execute) -> None:
    shown = etl_ray("verify", "OUT", "--quiet")
    assert (shown.code, shown.err, shown.out.count("\n")) == (0, "", 1)
    assert shown.out.startswith("OUT, run 2 (")
    assert shown.out.endswith(" MB: all as committed\n")
    assert "verify: " in etl_ray("verify", "OUT").err


def test_verify_names_what_differs_and_exits_with_1(output: Path, etl_ray: Execute) -> None:
    path = level2_files(output)[0]
    size = path.stat().st_size
    path.unlink()
    name = path.relative_to(output)

    shown = etl_ray("verify", "OUT", "--quiet")
    told = etl_ray("verify", "OUT", "--quiet", "--json")

    first, last = shown.out.splitlines()
    assert (shown.code, first) == (1, f"{name}: missing: expected {size:,} bytes, found no file")
    assert last.endswith(" MB: 1 differences")
    assert (told.code, json.loads(told.out)["differences"]) == (
        1,
        [{"kind": "missing", "path": str(name), "expected": f"{size:,} bytes", "found": "no file"}],
    )


def test_compact_merges_and_a_second_time_has_nothing_to_do(output: Path, etl_ray: Execute) -> None:
    assert len(level2_files(output)) == 2

    shown = etl_ray("compact", "OUT", "--quiet", "--json")

    assert (shown.code, shown.err, shown.out.count("\n")) == (0, "", 1)
    found = json.loads(shown.out)
    assert list(found) == [
        *("merged", "written", "rows", "bytes_before", "bytes_after", "files", "seconds", "output", "run_id", "number"),
        "unchanged",
    ]
    assert (found["number"], found["unchanged"]) == (3, False)
    # Pairs of two, and one file of checkpoints that gets the number of its book.
    assert (found["merged"], found["written"]) == (9, 5)
    assert len(level2_files(output)) == 1
    again = etl_ray("compact", "OUT", "--target-mb", "64")
    assert (again.code, again.out) == (0, f"OUT: nothing to merge in {found['files']} files.\n")
    ran = etl_ray("run", "recording", "OUT", "--engine", "local", "--quiet", "--json")
    assert json.loads(ran.out)["unchanged"] is True


def test_compact_tells_what_it_has_done(output: Path, etl_ray: Execute) -> None:
    shown = etl_ray("compact", "OUT")
    assert shown.code == 0
    assert shown.out.startswith("OUT: 9 files, ")
    assert " MB, merged into 5 files, 0.1 MB, with the same " in shown.out
    assert "compact: " in shown.err


def test_compact_leaves_a_locked_output_alone(output: Path, etl_ray: Execute) -> None:
    with exclusive(str(output / "_etl_ray")):
        refused = etl_ray("compact", "OUT", "--quiet")
    assert (refused.code, len(level2_files(output))) == (4, 2)
    assert etl_ray("compact", "OUT", "--target-mb", "0").code == 2


def test_the_entry_point_of_jobs_compacts(output: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.compact", str(output), "--engine", "local", "--quiet", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["unchanged"] is False
    assert len(level2_files(output)) == 1
