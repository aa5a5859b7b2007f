"""`etl-ray run`: what reaches the job, what is refused, and the exit codes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from etl_ray.cli import main
from etl_ray.config import CHANNELS, ChannelConfig, DerivedConfig, JobConfig, StagingConfig, load_config
from etl_ray.errors import (
    ConfigError,
    EtlRayError,
    LockedError,
    SchemaError,
    SegmentError,
    StorageError,
    WrongInputError,
)
from etl_ray.progress import LineProgress
from etl_ray.tables import TABLES
from tests.cli.fakes import DAMAGE, SUMMARY, Execute, FakeJobs, Outcome


def test_run_gives_the_job_input_output_and_the_default_config(jobs: FakeJobs, etl_ray: Execute) -> None:
    assert etl_ray("run", "IN", "gs://bucket/out").code == 0
    assert jobs.made == [("IN", "gs://bucket/out")]
    assert jobs.config == JobConfig()
    assert isinstance(jobs.progresses[0], LineProgress)


def only(*names: str) -> dict[str, ChannelConfig]:
    return {name: ChannelConfig(enabled=name in names) for name in CHANNELS}


def with_books(config: JobConfig, books: bool) -> JobConfig:
    return config.merge({"channels": {"level2": {"processor_options": {"reconstruct_lob": books}}}})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--channels", "level2"], JobConfig(channels=only("level2"))),
        (["--channels", "l2_data, ticker_batch"], JobConfig(channels=only("level2", "ticker"))),
        (
            ["--channels", "ticker,errors", "--channels", "status"],
            JobConfig(channels=only("ticker", "status", "errors")),
        ),
        (["--products", "BTC-USD"], JobConfig(products=("BTC-USD",))),
        (
            ["--products", "BTC-USD, ETH-USD", "--products", "SOL-USD"],
            JobConfig(products=("BTC-USD", "ETH-USD", "SOL-USD")),
        ),
        (["--start", "2025-11-26"], JobConfig(start=1_764_115_200_000_000_000)),
        (["--start", "2025-11-26T00:00:00.123456789Z"], JobConfig(start=1_764_115_200_123_456_789)),
        (["--end", "2025-11-26T01:00:00.000000001+01:00"], JobConfig(end=1_764_115_200_000_000_001)),
        (["--engine", "auto"], JobConfig()),
        (["--engine", "local"], JobConfig(engine="local")),
        (["--engine", "ray"], JobConfig(engine="ray")),
        (["--address", "ray://head:10001"], JobConfig(address="ray://head:10001")),
        (["--no-books"], with_books(JobConfig(), False)),
        (["--books"], JobConfig()),
        (["--no-books", "--channels", "ticker"], with_books(JobConfig(channels=only("ticker")), False)),
        (["--bars", "1m,tick:10", "--bars", "5m"], JobConfig(derived=DerivedConfig(bars=("1m", "tick:10", "5m")))),
        (["--join-books"], JobConfig(derived=DerivedConfig(trades_with_book=True))),
        (["--features", "500ms"], JobConfig(derived=DerivedConfig(features="500ms"))),
        (["--numbers", "decimal"], JobConfig(numbers="decimal")),
        (["--numbers", "float64"], JobConfig(numbers="float64")),
        (["--strict"], JobConfig(strict=True)),
        (["--overwrite"], JobConfig(overwrite=True)),
        (["--no-strict", "--no-overwrite", "--no-break-lock"], JobConfig()),
        (["--break-lock"], JobConfig(break_lock=True)),
        (["--after", "keep"], JobConfig()),
        (["--after", "delete", "--settle", "90s"], JobConfig(after="delete", settle="90s")),
        (["--after", "archive", "--archive-to", "s3://b/a"], JobConfig(after="archive", archive_to="s3://b/a")),
        (["--quiet"], JobConfig()),
        (["--json"], JobConfig()),
    ],
)
def test_every_option_reaches_the_config(
    options: list[str], expected: JobConfig, jobs: FakeJobs, etl_ray: Execute
) -> None:
    assert etl_ray("run", "IN", "OUT", *options).code == 0
    assert jobs.config == expected
    assert etl_ray("config", *options).out == expected.to_yaml() if options[0] not in ("--quiet", "--json") else True


def test_options_may_stand_before_the_arguments(jobs: FakeJobs, etl_ray: Execute) -> None:
    assert etl_ray("run", "--strict", "IN", "--numbers=decimal", "OUT").code == 0
    assert jobs.made == [("IN", "OUT")]
    assert jobs.config == JobConfig(strict=True, numbers="decimal")


def test_options_override_the_file(jobs: FakeJobs, etl_ray: Execute) -> None:
    Path("run.yaml").write_text(
        "channels:\n  ticker: {enabled: false, partition_cols: [date]}\n  level2: {partition_cols: [date]}\n"
        "products: [BTC-USD]\nstart: 2025-11-26\nnumbers: decimal\nengine: ray\naddress: auto\nstrict: true\n"
        "staging: {unit_mb: 4}\n"
    )
    base = load_config("run.yaml")
    assert etl_ray("run", "IN", "OUT", "--config", "run.yaml").code == 0
    options = [
        "--channels",
        "ticker",
        "--products",
        "ETH-USD",
        "--end",
        "2025-11-27",
        "--engine",
        "local",
        "--no-strict",
    ]
    assert etl_ray("run", "IN", "OUT", "--config", "run.yaml", *options).code == 0
    assert jobs.configs == [
        base,
        JobConfig(
            channels=only("ticker")
            | {
                "ticker": ChannelConfig(enabled=True, partition_cols=("date",)),
                "level2": ChannelConfig(enabled=False, partition_cols=("date",)),
            },
            products=("ETH-USD",),
            start=1_764_115_200_000_000_000,
            end=1_764_201_600_000_000_000,
            numbers="decimal",
            engine="local",  # which drops the file's address
            staging=StagingConfig(unit_mb=4),
        ),
    ]


def test_an_archive_of_the_file_belongs_to_its_after(jobs: FakeJobs, etl_ray: Execute) -> None:
    Path("run.yaml").write_text("after: archive\narchive_to: there\n")
    for options in ([], ["--archive-to", "here"], ["--after", "delete"], ["--after", "keep"]):
        assert etl_ray("run", "IN", "OUT", "--config", "run.yaml", *options).code == 0
    assert [(config.after, config.archive_to) for config in jobs.configs] == [
        ("archive", "there"),
        ("archive", "here"),
        ("delete", None),
        ("keep", None),
    ]


def test_books_of_the_file_are_overridden(jobs: FakeJobs, etl_ray: Execute) -> None:
    Path("run.yaml").write_text("channels: {level2: {processor_options: {reconstruct_lob: false, depth: 3}}}\n")
    for options in ([], ["--books"], ["--no-books"]):
        assert etl_ray("run", "IN", "OUT", "--config", "run.yaml", *options).code == 0
    assert [(config.level2.reconstruct_lob, config.level2.depth) for config in jobs.configs] == [
        (False, 3),
        (True, 3),
        (False, 3),
    ]


CHANNEL_NAMES = "level2, market_trades, ticker, candles, status, heartbeats, subscriptions, errors"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument 'INPUT'."),
        (["run", "IN"], "Missing argument 'OUTPUT'."),
        (["run", "IN", "OUT", "MORE"], "Got unexpected extra argument(s) (MORE)"),
        (["run", "IN", "OUT", "--nope"], "No such option: --nope"),
        (["run", "IN", "OUT", "--start"], "Option '--start' requires an argument."),
        (
            ["run", "IN", "OUT", "--channels", "level2,trades"],
            f"unknown channel 'trades'; did you mean 'market_trades'? known: {CHANNEL_NAMES}, l2_data, ticker_batch",
        ),
        (
            ["run", "IN", "OUT", "--channels", "level2,,ticker"],
            "--channels: expected names separated by commas, found 'level2,,ticker'",
        ),
        (["run", "IN", "OUT", "--products", ""], "--products: expected names separated by commas, found ''"),
        (
            ["run", "IN", "OUT", "--channels", "ticker", "--books"],
            "--books: expected the channel level2 to be enabled, found it left out",
        ),
        (
            ["run", "IN", "OUT", "--start", "yesterday"],
            "start: expected a date (2025-11-26), a time with its zone (2025-11-26T14:00:00.123456789Z) "
            "or ns since 1970, from 2010 to 2100, found 'yesterday'",
        ),
        (
            ["run", "IN", "OUT", "--start", "2025-11-27", "--end", "2025-11-26"],
            "end: expected a time after start (2025-11-27T00:00:00Z), found 2025-11-26T00:00:00Z",
        ),
        (
            ["run", "IN", "OUT", "--engine", "local", "--address", "auto"],
            "address: expected nothing, because engine local uses no cluster, found 'auto'",
        ),
        (
            ["run", "IN", "OUT", "--config", "missing.yaml"],
            "missing.yaml: expected a YAML file, found: No such file or directory",
        ),
        (
            ["run", "IN", "OUT", "--after", "archive"],
            "archive_to: expected a directory or URL, because after is archive, found nothing",
        ),
        (
            ["run", "IN", "OUT", "--archive-to", "there"],
            "archive_to: expected nothing, because after is keep, found 'there'",
        ),
        (
            ["run", "IN", "OUT", "--settle", "soon"],
            "settle: expected a length such as 30s, 10m, 2h, found 'soon'",
        ),
        (["schema", "levl2"], f"unknown table 'levl2'; did you mean 'level2'? known: {', '.join(TABLES)}"),
        (["schema", "xyz"], f"unknown table 'xyz'; known: {', '.join(TABLES)}"),
        (["explode"], "No such command 'explode'."),
    ],
)
def test_refusals_are_one_line_and_exit_2(arguments: list[str], message: str, jobs: FakeJobs, etl_ray: Execute) -> None:
    assert etl_ray(*arguments) == Outcome(2, "", f"etl-ray: error: {message}\n")
    assert jobs.made == []


@pytest.mark.parametrize("option", ["--engine", "--numbers"])
def test_choices_are_listed(option: str, jobs: FakeJobs, etl_ray: Execute) -> None:
    outcome = etl_ray("run", "IN", "OUT", option, "spark")
    known = "'auto', 'local', 'ray'" if option == "--engine" else "'float64', 'decimal'"
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"etl-ray: error: Invalid value for '{option}': ")
    assert known in outcome.err
    assert "'spark'" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_config_file_is_refused_with_its_line(jobs: FakeJobs, etl_ray: Execute) -> None:
    Path("run.yaml").write_text("strict: true\nnumber: decimal\n")
    outcome = etl_ray("run", "IN", "OUT", "--config", "run.yaml")
    assert outcome.code == 2
    assert outcome.err.startswith(
        "etl-ray: error: run.yaml:2: number: unknown key; did you mean 'numbers'? known: venue, "
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("INPUT: nothing there"), 2, "INPUT: nothing there"),
        (EtlRayError("no"), 1, "no"),
        (SchemaError("columns differ"), 1, "columns differ"),
        (StorageError("refused\nby the bucket"), 1, "refused; by the bucket"),
        (WrongInputError("9 of 10 lines rejected"), 1, "9 of 10 lines rejected"),
        (LockedError("OUT is locked"), 4, "OUT is locked"),
        (SegmentError("a.gz", 1234, "cut"), 3, "a.gz: damaged after 1,234 unpacked bytes: cut"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_are_one_line_with_their_code(
    error: BaseException, code: int, message: str, jobs: FakeJobs, etl_ray: Execute
) -> None:
    jobs.error = error
    assert etl_ray("run", "IN", "OUT", "--quiet", "--json") == Outcome(code, "", f"etl-ray: error: {message}\n")


def test_progress_ends_before_the_error_is_told(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.error = StorageError("disk full")
    lines = etl_ray("run", "IN", "OUT").err.splitlines()
    assert [line.split()[0] for line in lines] == ["normalize:", "etl-ray:"]


def test_a_bug_shows_where_it_is(jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.error = ZeroDivisionError("a bug")
    monkeypatch.setattr(sys, "argv", ["etl-ray", "run", "IN", "OUT"])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main()


@pytest.mark.parametrize(
    ("damaged", "findings", "options", "code", "warnings"),
    [
        ((), (), [], 0, []),
        ((), (), ["--strict"], 0, []),
        ((), ("1 hole",), [], 0, ["1 hole"]),
        ((), ("1 hole", "2 rejects"), ["--strict"], 3, ["--strict: 1 hole", "--strict: 2 rejects"]),
        ((DAMAGE,), (), [], 3, [f"damaged segment: {DAMAGE}"]),
        ((DAMAGE,), ("1 hole",), ["--strict"], 3, [f"damaged segment: {DAMAGE}", "--strict: 1 hole"]),
    ],
)
def test_committed_runs_exit_with_0_or_3(
    damaged: tuple[str, ...],
    findings: tuple[str, ...],
    options: list[str],
    code: int,
    warnings: list[str],
    jobs: FakeJobs,
    etl_ray: Execute,
) -> None:
    jobs.summary = replace(SUMMARY, damaged=damaged, findings=findings)
    outcome = etl_ray("run", "IN", "OUT", "--quiet", *options)
    assert outcome == Outcome(code, "", "".join(f"etl-ray: warning: {warning}\n" for warning in warnings))
