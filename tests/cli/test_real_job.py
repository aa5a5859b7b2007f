"""The command line above the real job, on a small sample."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from etl_ray.orchestrators.lock import exclusive
from etl_ray.sample import SampleOptions, SampleReport, write_sample
from tests.cli.fakes import Execute, Outcome

ROOT = Path(__file__).parent.parent.parent
PRODUCTS = ("BTC-USD", "ETH-USD")
OF_BOOKS = {"book", "coverage", "connections", "witness"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleReport]:
    """Return a folder of segments and what is in it."""
    folder = tmp_path_factory.mktemp("recording")
    options = SampleOptions(minutes=0.2, products=PRODUCTS, rate=5, levels=20, segment_mb=0.05)
    return folder, write_sample(str(folder), options)


@pytest.fixture
def run(recording: tuple[Path, SampleReport], etl_ray: Execute) -> Callable[..., Outcome]:
    """Return a function that runs the job on the recording into OUT, without progress and with JSON."""

    def run_recording(*options: str) -> Outcome:
        return etl_ray("run", str(recording[0]), "OUT", "--engine", "local", "--quiet", "--json", *options)

    return run_recording


def stored_rows(output: Path) -> dict[str, int]:
    """Count the rows of each table below `output`."""
    tables = sorted(path for path in output.iterdir() if path.name != "_etl_ray")
    files = {table.name: list(table.rglob("*.parquet")) for table in tables}
    return {name: sum(pq.ParquetFile(path).metadata.num_rows for path in paths) for name, paths in files.items()}


def folders(output: Path, table: str) -> list[str]:
    """Return the Hive folders of a table."""
    return sorted(str(path.parent.relative_to(output / table)) for path in (output / table).rglob("*.parquet"))


def test_the_figures_are_those_of_the_sample_and_of_the_files(
    recording: tuple[Path, SampleReport], run: Callable[..., Outcome]
) -> None:
    _, report = recording
    outcome = run()
    assert (outcome.code, outcome.err) == (0, "")
    summary = json.loads(outcome.out)
    assert summary["lines"] == report.lines == sum(report.messages.values())
    assert summary["bytes"] == report.bytes
    assert summary["messages"] == report.messages
    assert summary["segments"] == len(report.paths) > 1
    assert summary["rows"] == stored_rows(Path("OUT"))
    assert summary["ignored"] == report.messages.get("user", 0)
    assert summary["accepted"] == report.lines - summary["ignored"]
    rest = {key: summary[key] for key in ("rejects", "out_of_range", "blank", "damaged", "unknown_keys", "unchanged")}
    expected = {"rejects": 0, "out_of_range": 0, "blank": 0, "damaged": [], "unknown_keys": 0, "unchanged": False}
    assert rest == expected
    assert folders(Path("OUT"), "level2") == [f"product_id={name}/date=2025-11-26" for name in PRODUCTS]


def test_options_decide_what_is_written(run: Callable[..., Outcome]) -> None:
    Path("run.yaml").write_text("channels: {level2: {partition_cols: [date]}}")
    options = ["--config", "run.yaml", "--channels", "l2_data,errors", "--products", "ETH-USDC", "--numbers", "decimal"]
    outcome = run(*options, "--start", "2025-11-26T23:58:31Z", "--end", "2025-11-26T23:58:35.5Z")
    assert outcome.code == 0
    assert outcome.err == (
        "etl-ray: warning: product ETH-USDC is delivered by the venue as ETH-USD: ETH-USD is selected\n"
    )
    rows = json.loads(outcome.out)["rows"]
    assert rows == stored_rows(Path("OUT"))
    # The range begins in the middle: there is a checkpoint in front of it.
    assert set(rows) - {"errors"} == {"level2", "book", "book_checkpoints", "coverage", "connections"}
    assert folders(Path("OUT"), "level2") == ["date=2025-11-26"]
    for table, price in (("level2", "price"), ("book", "bid_price_0")):
        found = pq.read_table(f"OUT/{table}", partitioning=None)
        assert found["product_id"].unique().to_pylist() == ["ETH-USD"]
        assert str(found.schema.field(price).type) == "decimal128(38, 18)"
        times = sorted({str(time) for time in found["ts_server"].cast("string").to_pylist()})
        assert "2025-11-26 23:58:31" <= times[0] <= times[-1] < "2025-11-26 23:58:35.5"


def test_books_are_left_out_or_change_their_form(run: Callable[..., Outcome]) -> None:
    assert "book" not in json.loads(run("--channels", "level2", "--no-books").out)["rows"]
    assert set(stored_rows(Path("OUT"))) == {"level2", "coverage", "connections"}
    options = "depth: 2, emit: 1s, depth_bps: [], sweep_notionals: [], imbalance_levels: [], ofi_levels: 0"
    Path("run.yaml").write_text(f"channels: {{level2: {{processor_options: {{{options}}}}}}}")
    refused = run("--channels", "level2", "--config", "run.yaml")
    assert (refused.code, "channels.level2.processor_options.reconstruct_lob: " in refused.err) == (2, True)
    assert run("--channels", "level2", "--config", "run.yaml", "--overwrite").code == 0
    book = pq.read_table("OUT/book", partitioning=None)
    ends = book["ts_end"].cast("int64").to_pylist()
    assert [end % 1_000_000_000 for end in ends] == [0] * len(ends)
    assert "bid_price_1" in book.column_names
    features = ["mid", "spread", "spread_bps", "weighted_mid", "ofi", "ofi_n", "ofi_missing"]
    assert book.column_names[-10:] == [*features, "connection_id", "segment", "line"]


def test_a_second_run_has_nothing_to_do(run: Callable[..., Outcome]) -> None:
    first, second = json.loads(run().out), json.loads(run().out)
    assert (first.pop("unchanged"), second.pop("unchanged")) == (False, True)
    assert (first.pop("segments_read"), second.pop("segments_read")) == (first["segments"], 0)
    del first["seconds"], second["seconds"]
    assert second == first


def test_another_config_needs_overwrite(run: Callable[..., Outcome]) -> None:
    assert run("--channels", "level2").code == 0
    before = stored_rows(Path("OUT"))
    refused = run("--channels", "level2,ticker")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("etl-ray: error: OUTPUT OUT was made with another config: channels.ticker: ")
    assert refused.err.count("\n") == 1
    assert stored_rows(Path("OUT")) == before
    assert run("--channels", "level2,ticker", "--overwrite").code == 0
    assert set(stored_rows(Path("OUT"))) == {"level2", "ticker", *OF_BOOKS}


def test_input_that_is_not_there(etl_ray: Execute) -> None:
    outcome = etl_ray("run", "nowhere", "OUT", "--engine", "local")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("etl-ray: error: ")
    assert "nowhere" in outcome.err
    assert not Path("OUT").exists()


def test_wrong_input_is_not_committed(etl_ray: Execute) -> None:
    Path("IN").mkdir()
    Path("IN", "a.ndjson").write_text('{"level": "info"}\n' * 10)
    outcome = etl_ray("run", "IN", "OUT", "--engine", "local", "--quiet")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("etl-ray: error: 10 of the first 10 lines were rejected")
    assert [path.name for path in Path("OUT").iterdir()] == ["_etl_ray"]


def test_damage_and_rejects_are_told(recording: tuple[Path, SampleReport], etl_ray: Execute) -> None:
    folder, report = recording
    Path("IN").mkdir()
    first, second, *_ = (Path(folder, Path(path).name) for path in report.paths)
    Path("IN", first.name).write_bytes(first.read_bytes() + b'{"channel": "l2_data"}\n')
    whole = gzip.compress(second.read_bytes())
    Path("IN", f"{second.name}.gz").write_bytes(whole[: len(whole) // 2])
    outcome = etl_ray("run", "IN", "OUT", "--engine", "local", "--json")
    assert outcome.code == 3
    summary = json.loads(outcome.out.splitlines()[-1])
    assert summary["segments"] == 2
    (damage,) = summary["damaged"]
    assert f"{second.name}.gz: damaged after " in damage
    assert f"etl-ray: warning: damaged segment: {damage}\n" in outcome.err
    assert summary["rejects"] >= 1
    rejected = f"Rejected  {summary['rejects']} lines; the table rejects says where each is and why"
    assert rejected in [line.rstrip() for line in outcome.out.splitlines()]
    assert summary["rows"]["rejects"] == summary["rejects"] == stored_rows(Path("OUT"))["rejects"]
    assert "\x1b" not in outcome.out + outcome.err


def test_strict_turns_findings_into_an_exit_code(recording: tuple[Path, SampleReport], etl_ray: Execute) -> None:
    first = Path(recording[1].paths[0])
    Path("IN").mkdir()
    Path("IN", first.name).write_bytes(Path(recording[0], first.name).read_bytes() + b"not JSON\n")
    relaxed = etl_ray("run", "IN", "OUT", "--engine", "local", "--quiet", "--json")
    strict = etl_ray("run", "IN", "OUT", "--engine", "local", "--quiet", "--json", "--strict")
    findings = json.loads(relaxed.out)["findings"]
    assert findings
    assert (relaxed.code, strict.code) == (0, 3)
    assert relaxed.err.splitlines() == [f"etl-ray: warning: {finding}" for finding in findings]
    assert strict.err.splitlines() == [f"etl-ray: warning: --strict: {finding}" for finding in findings]


def test_an_output_that_another_run_holds(run: Callable[..., Outcome]) -> None:
    assert run().code == 0
    with exclusive(str(Path("OUT/_etl_ray").resolve())):
        outcome = run("--overwrite")
    assert (outcome.code, outcome.out) == (4, "")
    assert outcome.err.startswith("etl-ray: error: another run is writing to ")


def test_the_job_entry_point_in_a_process_of_its_own(recording: tuple[Path, SampleReport], tmp_path: Path) -> None:
    arguments = [str(recording[0]), str(tmp_path / "OUT"), "--engine", "local", "--json", "--channels", "heartbeats"]
    command = [sys.executable, "-m", "jobs.run_etl", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    rows = {"heartbeats": recording[1].messages["heartbeats"], "connections": 2}
    assert summary["rows"] == stored_rows(tmp_path / "OUT") == rows
    assert "\x1b" not in done.stdout + done.stderr
    stages = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert stages[0] == "normalize"
    assert stages[-1] == "build"


@pytest.mark.parametrize(("slow", "share"), [(1_001, "5.0 %"), pytest.param(1_000, "5.0 %", marks=pytest.mark.slow)])
def test_the_share_of_slow_lines_of_a_job(slow: int, share: str, tmp_path: Path) -> None:
    """A job on a cluster says it in its log: what the entry point writes is what Ray keeps of it."""
    beat = '{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":%d,"events":[%s]}'
    known, unknown = '{"heartbeat_counter":%d}', '{"heartbeat_counter":%d,"new":1}'
    # Blank lines are lines, and take neither parser.
    lines = [beat % (n, (unknown if n < slow else known) % n) for n in range(19_000)] + [""] * 1_000
    (tmp_path / "IN").mkdir()
    (tmp_path / "IN" / "segment_20251126T14_00001.ndjson").write_text("\n".join(lines) + "\n")
    arguments = [str(tmp_path / "IN"), str(tmp_path / "OUT"), "--engine", "local", "--json"]
    command = [sys.executable, "-m", "jobs.run_etl", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["lines"], summary["slow_lines"], summary["unknown_keys"]) == (20_000, slow, slow)
    assert f"{share} of the lines took the slow parser" in done.stdout
    warning = f"warning: {share} of the lines took the slow parser: this input has a shape that the fast one does not"
    assert (warning in done.stderr) == (slow > 1_000)


def test_the_demo_from_nothing_to_an_answer(etl_ray: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_ray.cli.demo.SampleOptions", lambda: SampleOptions(minutes=0.2, rate=5, levels=20))
    for _ in range(2):
        outcome = etl_ray("demo", "--quiet")
        assert (outcome.code, outcome.err) == (0, "")
        (command,) = [line for line in outcome.out.splitlines() if line.startswith("  ") and "polars" in line]
        answer = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
        assert all(product in answer for product in SampleOptions().products)
