"""`etl-ray sample` and `etl-ray demo`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.config import JobConfig
from etl_ray.sample import SampleOptions, SampleReport
from etl_ray.sample.options import FAULT_KINDS
from etl_ray.tables import TABLES
from tests.cli.fakes import DAMAGE, SUMMARY, Execute, FakeJobs, Outcome


def test_sample_writes_segments(etl_ray: Execute, tmp_path: Path) -> None:
    options = ["--minutes", "0.05", "--products", "BTC-USD,ETH-USD", "--rate", "2", "--compress", "gz"]
    outcome = etl_ray("sample", "OUT", "--seed", "3", "--connections", "2", "--overlap", *options)
    assert outcome.code == 0
    paths = sorted((tmp_path / "OUT").iterdir())
    assert paths
    assert all(path.name.endswith(".ndjson.gz") for path in paths)
    assert re.fullmatch(rf"[\d,]+ lines, [\d.]+ MB unpacked, in {len(paths)} segments below OUT\n", outcome.out)
    assert re.fullmatch(r"sample: [\d.]+ MB, [\d.]+ MB/s, [\d.]+ s\n", outcome.err)


def test_every_option_reaches_the_sample(etl_ray: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, SampleOptions]] = []

    def write_sample(
        out_dir: str, options: SampleOptions, *, on_progress: Callable[[int], None] | None = None
    ) -> SampleReport:
        assert on_progress is not None
        on_progress(1_000_000)
        on_progress(2_500_000)
        seen.append((out_dir, options))
        return SampleReport(paths=("a", "b"), bytes=2_500_000, lines=1_234, messages={"l2_data": 1_234})

    monkeypatch.setattr("etl_ray.cli.sample.write_sample", write_sample)
    outcome = etl_ray("sample", "A")
    assert outcome.out == "1,234 lines, 2.5 MB unpacked, in 2 segments below A\n"
    assert re.fullmatch(r"sample: 2\.5 MB, [\d,.]+ MB/s, 0\.\d s\n", outcome.err)
    options = ["--seed", "1", "--minutes", "2.5", "--products", "A-USD", "--products", "B-USD,C-USD", "--rate", "3"]
    more = ["--connections", "4", "--compress", "zst", "--overlap", "--faults", "lost,garbage", "--quiet"]
    assert etl_ray("sample", "B", *options, *more).err == ""
    assert seen == [
        ("A", SampleOptions()),
        (
            "B",
            SampleOptions(
                seed=1,
                minutes=2.5,
                products=("A-USD", "B-USD", "C-USD"),
                rate=3.0,
                connections=4,
                compress="zst",
                overlap=True,
                faults=("lost", "garbage"),
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["OUT", "--faults"], FAULT_KINDS),
        (["--faults", "--quiet", "OUT"], FAULT_KINDS),
        (["--faults=all", "OUT"], FAULT_KINDS),
        (["--faults", "down", "OUT", "--faults", "lost,discarded"], ("down", "lost", "discarded")),
        (["OUT"], ()),
    ],
)
def test_faults_stand_alone_or_with_kinds(
    etl_ray: Execute, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kinds: tuple[str, ...]
) -> None:
    seen: list[SampleOptions] = []

    def write_sample(_: str, options: SampleOptions, **__: object) -> SampleReport:
        seen.append(options)
        return SampleReport(paths=(), bytes=0, lines=0, messages={})

    monkeypatch.setattr("etl_ray.cli.sample.write_sample", write_sample)
    assert etl_ray("sample", *arguments).code == 0
    assert seen == [SampleOptions(faults=kinds)]


def test_sample_tells_its_faults(etl_ray: Execute, tmp_path: Path) -> None:
    options = ["--minutes", "0.5", "--products", "BTC-USD", "--rate", "5", "--faults", "cut-tail,down", "--quiet"]
    outcome = etl_ray("sample", "OUT", *options)
    assert outcome.out.splitlines()[1:] == ["faults: down 1, cut-tail 1; OUT/faults.json tells where"]
    told = json.loads((tmp_path / "OUT" / "faults.json").read_text())
    assert [fault["kind"] for fault in told if fault["kind"] in FAULT_KINDS] == ["down", "cut-tail"]


def test_sample_names_the_nearest_fault(etl_ray: Execute) -> None:
    outcome = etl_ray("sample", "OUT", "--faults", "garbge", "--quiet")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"etl-ray: error: sample option faults: expected some of {', '.join(FAULT_KINDS)}, found 'garbge';"
        " did you mean 'garbage'?\n"
    )


def test_sample_refuses_what_cannot_be(etl_ray: Execute) -> None:
    assert etl_ray("sample", "OUT", "--minutes", "0") == Outcome(
        2, "", "sample: 0/0 units, 0.0 s\netl-ray: error: sample option minutes: expected a number above 0, found 0.0\n"
    )


def write_table(name: str, columns: dict[str, list[object]]) -> Callable[[Path], None]:
    """Return what writes a table below an output."""

    def write(output: Path) -> None:
        folder = output / name / "product_id=BTC-USD" / "date=2025-11-26"
        folder.mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / "a.parquet")

    return write


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the demo's sample short."""
    monkeypatch.setattr("etl_ray.cli.demo.SampleOptions", lambda: SampleOptions(minutes=0.05, rate=1, levels=10))


def pasted_query(out: str) -> str:
    """Run the command that the demo prints, in a shell, and return its output."""
    (command,) = [line for line in out.splitlines() if line.startswith("  ")]
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("small_sample")
@pytest.mark.parametrize("arguments", [[], ["my demo's folder"]])
def test_demo(arguments: list[str], jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.write = write_table("market_trades", {"product_id": ["BTC-USD"] * 2, "size": [0.5, 0.25], "price": [1.0, 3.5]})
    folder = Path(arguments[0] if arguments else "demo")
    outcome = etl_ray("demo", *arguments, "--quiet")
    assert (outcome.code, outcome.err) == (0, "")
    assert list((folder / "segments").glob("*.ndjson"))
    assert jobs.made == [(str(folder / "segments"), str(folder / "tables"))]
    assert jobs.config == JobConfig(engine="local")
    assert outcome.out.startswith(f"Run 20261123T081500-1a2b3c4d: committed. Tables in {folder}/tables:\n┏")
    assert f"\nSegments: {folder}/segments\nTables:   {folder}/tables\n" in outcome.out
    quote = "'" if arguments else '"'  # the folder's own quotes leave single ones only
    assert f" -c {quote}import polars as pl; print(pl.scan_parquet(" in outcome.out
    answer = pasted_query(outcome.out)
    assert re.search(r"│ BTC-USD +┆ 2 +┆ 0\.75 +┆ 3\.5 +│", answer)


@pytest.mark.usefixtures("small_sample")
@pytest.mark.parametrize(
    ("table", "columns", "answer"),
    [
        (
            "level2",
            {"product_id": ["A", "A"], "side": ["bid", "bid"], "quantity": [1.0, 2.0]},
            r"A +┆ bid +┆ 2 +┆ 1\.5",
        ),
        ("ticker", {"product_id": ["A"], "price": [2.5]}, r"A +┆ 1 +┆ 2\.5"),
        ("status", {"product_id": ["A"]}, r"│ 1 +│"),
    ],
)
def test_demo_asks_a_table_that_has_rows(
    table: str, columns: dict[str, list[object]], answer: str, jobs: FakeJobs, etl_ray: Execute
) -> None:
    jobs.summary = replace(SUMMARY, rows={name: int(name == table) for name in TABLES})
    jobs.write = write_table(table, columns)
    assert re.search(answer, pasted_query(etl_ray("demo").out))


@pytest.mark.usefixtures("small_sample")
def test_a_second_demo_replaces_the_first(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.write = write_table("level2", {"product_id": ["A"]})
    assert etl_ray("demo").code == 0
    kept, stale = Path("demo", "notes.txt"), Path("demo", "tables", "stale")
    kept.write_text("mine")
    stale.write_text("old")
    assert etl_ray("demo").code == 0
    assert kept.read_text() == "mine"
    assert not stale.exists()


@pytest.mark.usefixtures("small_sample")
def test_demo_takes_an_empty_folder(jobs: FakeJobs, etl_ray: Execute) -> None:
    Path("demo").mkdir()
    assert etl_ray("demo").code == 0


def test_demo_keeps_off_other_folders(jobs: FakeJobs, etl_ray: Execute) -> None:
    precious = Path("demo", "tables", "precious.parquet")
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    assert etl_ray("demo") == Outcome(
        2, "", "etl-ray: error: demo: expected an empty folder or one of an earlier demo, found other files in it\n"
    )
    assert precious.read_text() == "mine"
    assert [path.name for path in Path("demo").iterdir()] == ["tables"]


def test_demo_below_a_file(jobs: FakeJobs, etl_ray: Execute) -> None:
    Path("file").touch()
    assert etl_ray("demo", "file/demo") == Outcome(
        1, "", "etl-ray: error: file/demo: expected a folder to write to, found: Not a directory\n"
    )


@pytest.mark.usefixtures("small_sample")
def test_demo_passes_the_exit_code_on(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, damaged=(DAMAGE,))
    assert etl_ray("demo").code == 3
