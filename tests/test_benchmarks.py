"""The benchmark program: what its report and its JSON hold, and what happens to sides that fail or have other rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from etl_ray.sample import SampleOptions, write_sample
from tests.benchmarks import __main__ as program
from tests.benchmarks import race as race_module
from tests.benchmarks.agreement import Fingerprint, differences, fingerprint
from tests.benchmarks.chain_profile import COLUMNS, DRIVER, HASH, SCAN, by_stage
from tests.benchmarks.inputs import with_codec
from tests.benchmarks.measurement import Run, SideError, SideProcess
from tests.benchmarks.race import Conditions, Raced, Side, Track
from tests.benchmarks.section import Ratio, Section, read_section
from tests.benchmarks.sides.opened import open_binary

REPOSITORY = Path(__file__).parent.parent
RATIO = Ratio("whole chain: generated, raw, one core", "DuckDB", 2.5, 2.0)
SECTION = Section(
    title="Chains",
    ratios=[RATIO, replace(RATIO, against="Polars", value=1.25, goal=None)],
    text="| a table |",
    figures={"mb": 1.5},
    differences=[],
    failures=["Spark (generated): ended"],
    left_out=["mlfinpy: not there"],
    versions={"python": "3.11"},
)


def test_a_race_of_two_sides_says_who_is_how_fast_on_the_same_rows(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    options = ["--mb", "0.5", "--runs", "1", "--sides", "etl_job,duckdb_sql", "--json", str(found)]
    command = [sys.executable, "-m", "tests.benchmarks.end_to_end", *options, "--work", str(tmp_path)]

    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    section = read_section(found)
    assert [(ratio.what, ratio.against, ratio.goal) for ratio in section.ratios] == [
        ("whole chain: generated, raw, one core", "DuckDB", 2.0)
    ]
    (race,) = section.figures["races"]  # type: ignore[misc, attr-defined]
    assert sorted(race["runs"]) == ["duckdb_sql", "etl_job"]
    assert [sorted(run) for run in race["runs"]["etl_job"]] == [["cpu_s", "peak_mb", "wall_s"]]
    assert race["differences"] == {"duckdb_sql": [], "etl_job": []}
    assert sorted(race["rows"]) == ["level2", "market_trades", "ticker"]
    assert sorted(section.figures["sizes"]) == ["duckdb_sql", "etl_job"]  # type: ignore[call-overload]
    assert (section.differences, section.failures, section.left_out) == ([], [], [])
    assert section.markdown() + "\n" == result.stdout


def test_a_section_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "section.json"
    path.write_text(json.dumps(program.asdict(SECTION)))

    assert read_section(path) == SECTION


def test_the_report_begins_with_ratios_and_says_what_failed_and_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "_where", lambda seconds: f"Here, in {seconds} s.")
    wrong = replace(SECTION, title="Books", differences=["BTC-USD: other levels"])

    text = program.report({"chain": SECTION, "books": wrong}, ["parse-real: no recording"], 60.0)

    assert text == "\n\n".join(
        (
            "# Benchmarks",
            "Here, in 60.0 s.",
            "How many times as fast this project is, by medians of the same run.",
            "| this project's                        | against | times | goal | reached |\n"
            "| ------------------------------------- | ------: | ----: | ---: | ------: |\n"
            "| whole chain: generated, raw, one core |  DuckDB |  2.50 |    2 |     yes |\n"
            "| whole chain: generated, raw, one core |  DuckDB |  2.50 |    2 |     yes |",
            "| times as good as                      | DuckDB | Polars |\n"
            "| ------------------------------------- | -----: | -----: |\n"
            "| whole chain: generated, raw, one core |   2.50 |   1.25 |",
            "| times as good as                      | DuckDB | Polars |\n"
            "| ------------------------------------- | -----: | -----: |\n"
            "| whole chain: generated, raw, one core |   2.50 |   1.25 |",
            "## Wrong\n\n- BTC-USD: other levels",
            "## Failed\n\n- Spark (generated): ended",
            "## Left out\n\n- parse-real: no recording\n- mlfinpy: not there",
            "## Chains\n\n| a table |",
            "## Books\n\n| a table |",
        )
    )


def test_a_part_without_a_result_is_reported_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "bench.json"
    bad = program.Part("bad", "no_such_module", ())
    real = program.Part("chain-real", "end_to_end", (), real=True)
    monkeypatch.setattr(program, "parts", lambda *_: [bad, real])
    monkeypatch.delenv(program.REAL_FLOW, raising=False)
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(found)])

    assert program.main() == 1

    stored = json.loads(found.read_text())
    assert sorted(stored) == ["commit", "machine", "seconds", "sections", "skipped", "versions"]
    assert stored["sections"]["bad"]["differences"] == ["bad ended with exit code 1 and no result"]
    assert stored["skipped"] == ["chain-real: no recording; --input DIR or ETL_RAY_REAL_FLOW names one"]
    assert "## Wrong\n\n- bad ended with exit code 1 and no result" in capsys.readouterr().out


def test_every_part_names_a_module_and_needs_a_recording_if_it_reads_one() -> None:
    found = program.parts(program.QUICK, Path("flow"), Path("peers"))

    assert all((REPOSITORY / "tests/benchmarks" / f"{part.module}.py").exists() for part in found)
    assert [part.real for part in found] == ["--input" in part.options for part in found]
    assert len({part.name for part in found}) == len(found)


def test_ratios_are_of_cpu_time_on_one_core_and_of_wall_time_on_all() -> None:
    runs = {
        "ours": [Run(1.0, 9.0, 50.0), Run(3.0, 1.0, 60.0), Run(2.0, 5.0, 70.0)],
        "theirs": [Run(6.0, 2.0, 50.0), Run(8.0, 2.0, 50.0), Run(7.0, 2.0, 50.0)],
    }
    race = Raced(Conditions("generated", "gz", "one", 10.0), "theirs", runs, {}, {}, {})

    assert race.times("ours", "theirs") == 3.5
    assert replace(race, conditions=Conditions("generated", "gz", "all", 10.0)).times("ours", "theirs") == 0.4
    lines = race.table({"ours": Side("Ours: fast"), "theirs": Side("Theirs: slow")}).splitlines()
    assert [[cell.strip() for cell in lines[index].split("|")[1:-1]] for index in (0, 2)] == [
        ["", "× Theirs, CPU", "× Theirs, wall", "MB/s of CPU", "CPU s", "wall s", "peak MB"],
        ["Ours: fast", "3.50", "0.40", "5 (3–10)", "2.00 (1.00–3.00)", "5.00 (1.00–9.00)", "70"],
    ]


class FakeProcess:
    """A side that fails, has other rows, or none of both, as its name says."""

    def __init__(self, side: str, *, cores: str, python: Path | None) -> None:
        self.side, self.used = side, False

    def run(self, segments: Sequence[str], output: str, *, keep: bool = True) -> Run:
        if self.side == "sides.failing":
            raise SideError("ended with exit code 1: KeyError: 'x'")
        self.used = True
        return Run(1.0, 2.0, 3.0)

    def close(self) -> None:
        """Do nothing."""


def test_a_side_that_fails_is_reported_and_one_with_other_rows_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race_module, "SideProcess", FakeProcess)
    monkeypatch.setattr(
        race_module,
        "fingerprint",
        lambda output, name, dated: Fingerprint(5 if output.endswith("other") and name == "ticker" else 4, 0, {}),
    )
    sides = {name: Side(f"The {name} one: it is") for name in ("right", "failing", "other")}
    track = Track("sides", sides, tmp_path, 2, {})

    race = track.race([], Conditions("generated", "raw", "one", 1.0), list(sides), reference="right")

    assert race.told(sides) == (
        ["The other one: it is (generated, raw, one core): ticker: 5 rows instead of 4"],
        ["The failing one: it is (generated, raw, one core): ended with exit code 1: KeyError: 'x'"],
    )
    assert {side: len(runs) for side, runs in race.runs.items()} == {"right": 2, "other": 2}
    assert Section("", [], "", {}, differences=race.told(sides)[0]).exit_code == 1
    assert Section("", [], "", {}, failures=race.told(sides)[1]).exit_code == 0


def test_a_side_that_ends_says_why() -> None:
    process = SideProcess("sides.no_such_side", cores="one")

    with pytest.raises(SideError) as caught:
        process.run([], "/nowhere")

    process.close()
    assert str(caught.value) == (
        "ended with exit code 1: ModuleNotFoundError: No module named 'tests.benchmarks.sides.no_such_side'"
    )


def test_other_rows_are_told_by_count_column_or_combination(tmp_path: Path) -> None:
    rows = {"product_id": ["A", "B"], "ts_server": [1, 2], "ts_capture": [3, 4], "sequence_num": [5, 6]}
    rows |= {"is_snapshot": [True, False], "ts_event": [7, None], "side": ["bid", "ask"]}
    rows |= {"price": [1.5, 2.5], "quantity": [0.0, 1.0]}
    frame = pl.DataFrame(rows)
    shuffled = frame.with_columns(pl.col("price").reverse(), pl.col("quantity").reverse())
    prints = []
    for name, stored in {
        "a": frame,
        "b": frame.reverse(),
        "c": frame.head(1),
        "d": frame.with_columns(quantity=pl.Series([0.0, 1.1])),
        "e": shuffled,
    }.items():
        stored.write_parquet(tmp_path / name / "level2" / "rows.parquet", mkdir=True)
        prints.append(fingerprint(str(tmp_path / name), "level2", dated=False))

    assert [differences(prints[0], found) for found in prints[1:]] == [
        [],
        ["1 rows instead of 2"],
        ["other values in quantity"],
        ["the same values in every column, but in other rows"],
    ]


def test_time_in_a_library_is_that_of_the_stages_that_called_it() -> None:
    scan, rows = ("/x/etl_ray/scan/kernel.py", 1, "scan_block"), ("/x/etl_ray/venues/rows.py", 1, "common")
    cast, inner = ("/x/pyarrow/compute.py", 1, "cast"), ("~", 0, "<cast>")
    digest, other = ("~", 0, "<method 'update' of '_hashlib.HASH' objects>"), ("~", 0, "<gc>")
    stats = {
        scan: (1, 1, 4.0, 5.0, {}),
        rows: (1, 1, 2.0, 9.0, {}),
        cast: (4, 4, 3.0, 7.0, {rows: (3, 3, 2.25, 0.0), scan: (1, 1, 0.75, 0.0)}),
        inner: (4, 4, 4.0, 4.0, {cast: (4, 4, 4.0, 4.0)}),
        digest: (1, 1, 0.5, 0.5, {rows: (1, 1, 0.5, 0.5)}),
        other: (1, 1, 0.25, 0.25, {}),
    }

    assert by_stage(stats) == {SCAN: 4.0 + 0.75 + 1.0, COLUMNS: 2.0 + 2.25 + 3.0, HASH: 0.5, DRIVER: 0.25}


@pytest.mark.parametrize("codec", ["raw", "gz", "zst"])
def test_segments_of_every_codec_hold_the_same_lines(tmp_path: Path, codec: str) -> None:
    segments = write_sample(str(tmp_path / "plain"), SampleOptions(minutes=0.1, rate=5)).paths
    lines = [Path(segment).read_bytes().splitlines(keepends=True) for segment in segments]

    packed = with_codec(segments, codec, tmp_path / codec)

    found = []
    for segment in packed:
        with open_binary(segment) as opened:
            found.append(list(opened))
    assert found == lines
    assert [Path(segment).suffix for segment in packed] == [{"raw": ".ndjson"}.get(codec, f".{codec}")] * len(packed)


@pytest.mark.slow
def test_all_parsers_find_the_same_rows(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    options = ["--mb", "1", "--runs", "1", "--codecs", "raw,zst", "--json", str(found)]
    command = [sys.executable, "-m", "tests.benchmarks.parse", *options, "--work", str(tmp_path)]

    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    section = read_section(found)
    assert [len(race["runs"]) for race in section.figures["races"]] == [9, 9]  # type: ignore[attr-defined]
    assert section.failures == []
    assert section.left_out == ["pyspark==4.3.0: `--peers-venv DIR` names, or makes, environments that have them"]
