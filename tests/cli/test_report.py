"""What a run prints: the summary, JSON, warnings; never escape codes without a terminal."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from etl_ray.progress import SilentProgress
from tests.cli.fakes import DAMAGE, SUMMARY, Execute, FakeJobs, Outcome


def printed(outcome: Outcome) -> list[str]:
    """Return the lines of standard output without the blanks that fill a column."""
    return [line.rstrip() for line in outcome.out.splitlines()]


def test_summary(jobs: FakeJobs, etl_ray: Execute) -> None:
    for path in ("level2/product_id=A/date=1/a", "level2/product_id=B/date=1/a", "heartbeats/date=1/a", "rejects/x"):
        file = Path("OUT", f"{path}.parquet")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert printed(etl_ray("run", "IN", "OUT")) == [
        "Run 20261123T081500-1a2b3c4d: committed. Tables in OUT:",
        "┏━━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓",
        "┃ Table         ┃      Rows ┃ Files ┃ Folders                           ┃",
        "┡━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩",
        "│ level2        │ 1,296,312 │     2 │ level2/product_id=*/date=*        │",
        "│ market_trades │    34,418 │     0 │ market_trades/product_id=*/date=* │",
        "│ candles       │         0 │     0 │ -                                 │",
        "│ heartbeats    │       651 │     1 │ heartbeats/date=*                 │",
        "│ rejects       │         2 │     1 │ rejects/date=*                    │",
        "└───────────────┴───────────┴───────┴───────────────────────────────────┘",
        "Lines     82,460 = 82,450 accepted + 5 ignored + 1 out of range + 2 blank + 2 rejected",
        "Messages  l2_data 12,963  market_trades 34,418  heartbeats 651  user 5",
        "Rejected  2 lines; the table rejects says where each is and why",
        "Segments  4",
        "Speed     48.1 MB in 0.8 s, 57.3 MB/s",
        "Parsing   0.1 % of the lines took the slow parser",
        "Unknown   17 keys that the tables have no column for",
    ]


def test_summary_tells_how_many_segments_were_read_if_others_were_known(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, segments_read=1)
    text = printed(etl_ray("run", "IN", "OUT"))
    assert "Time      0.8 s, 1 of 4 segments read: the others were known" in text
    assert "Speed" not in text


def test_summary_tells_how_many_segments_were_removed(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, unchanged=True, removed=1_234)
    assert "Segments  4, 1,234 removed from INPUT" in printed(etl_ray("run", "IN", "OUT"))
    assert json.loads(etl_ray("run", "IN", "OUT", "--json", "--quiet").out)["removed"] == 1_234


def test_summary_shows_the_folders_of_this_config(jobs: FakeJobs, etl_ray: Execute) -> None:
    Path("run.yaml").write_text("channels: {level2: {partition_cols: [date]}, heartbeats: {partition_cols: []}}")
    out = etl_ray("run", "IN", "OUT", "--config", "run.yaml").out
    assert re.findall(r"│ ([a-z2_]+/?[^ ]*) +│$", out, re.MULTILINE) == [
        "level2/date=*",
        "market_trades/product_id=*/date=*",
        "heartbeats",
        "rejects/date=*",
    ]


def test_summary_of_a_clean_small_run(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(
        SUMMARY, lines=0, accepted=0, rejects=0, ignored=0, out_of_range=0, blank=0, bytes=0, seconds=0.0,
        rows={}, messages={}, slow_lines=0, unknown_keys=0, damaged=(DAMAGE,), segments=1, segments_read=1,
    )  # fmt: skip
    outcome = etl_ray("run", "IN", "s3://bucket/out")
    assert outcome.out.splitlines()[0] == "Run 20261123T081500-1a2b3c4d: committed. Tables in s3://bucket/out:"
    assert printed(outcome)[-5:] == [
        "Lines     0 = 0 accepted + 0 ignored + 0 out of range + 0 blank + 0 rejected",
        "Messages  none",
        "Segments  1, 1 damaged",
        "Speed     0.0 MB in 0.0 s",
        "Parsing   0.0 % of the lines took the slow parser",
    ]


def test_summary_when_nothing_was_to_do(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, unchanged=True, rows={})
    outcome = etl_ray("run", "IN", "OUT")
    assert outcome.out.splitlines()[0] == (
        "Run 20261123T081500-1a2b3c4d: nothing to do, OUTPUT is up to date. Tables in OUT:"
    )
    assert "Speed" not in outcome.out
    assert "warning" not in outcome.err


def test_files_of_a_url_are_not_counted(jobs: FakeJobs, etl_ray: Execute) -> None:
    assert "│ level2        │ 1,296,312 │     - │" in etl_ray("run", "IN", "s3://bucket/out").out


def test_brackets_in_names_are_no_markup(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, messages={"[red]x": 1})
    out = etl_ray("run", "IN", "a [b] :warning: c").out
    assert "Tables in a [b] :warning: c:\n" in out
    assert re.search(r"^Messages  \[red\]x 1 *$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("slow", "lines", "share"),
    [(4_123, 82_460, None), (4_124, 82_460, "5.0 %"), (999, 1_000, None), (1_000, 1_000, "100.0 %")],
)
def test_many_slow_lines_are_a_warning(
    slow: int, lines: int, share: str | None, jobs: FakeJobs, etl_ray: Execute
) -> None:
    jobs.summary = replace(SUMMARY, slow_lines=slow, lines=lines)
    warning = (
        f"etl-ray: warning: {share} of the lines took the slow parser: "
        "this input has a shape that the fast one does not know\n"
    )
    assert etl_ray("run", "IN", "OUT", "--quiet").err == ("" if share is None else warning)


@pytest.mark.parametrize("rows", [{"level2": 0, "rejects": 0}, {}, {"coverage": 3, "connections": 1}])
def test_no_rows_at_all_is_a_warning(rows: dict[str, int], jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, rows=rows)
    assert etl_ray("run", "IN", "OUT", "--quiet").err == (
        "etl-ray: warning: no row was written: are --products, --channels, --start and --end what was meant?\n"
    )


def test_json_is_the_last_line(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, damaged=(DAMAGE,), findings=("1 hole",))
    lines = etl_ray("run", "IN", "OUT", "--json").out.splitlines()
    assert lines[0].startswith("Run ")
    assert json.loads(lines[-1]) == {
        "lines": 82_460,
        "bytes": 48_123_456,
        "seconds": 0.84,
        "rows": {"level2": 1_296_312, "market_trades": 34_418, "candles": 0, "heartbeats": 651, "rejects": 2},
        "messages": {"l2_data": 12_963, "market_trades": 34_418, "heartbeats": 651, "user": 5},
        "accepted": 82_450,
        "rejects": 2,
        "ignored": 5,
        "out_of_range": 1,
        "blank": 2,
        "segments": 4,
        "damaged": [DAMAGE],
        "slow_lines": 83,
        "unknown_keys": 17,
        "findings": ["1 hole"],
        "output": "OUT",
        "run_id": "20261123T081500-1a2b3c4d",
        "unchanged": False,
        "removed": 0,
        "segments_read": 4,
    }


def test_quiet_json_is_the_only_line(jobs: FakeJobs, etl_ray: Execute) -> None:
    outcome = etl_ray("run", "IN", "OUT", "--json", "--quiet")
    assert json.loads(outcome.out) == replace(SUMMARY, output="OUT").as_dict()
    assert outcome.out.count("\n") == 1
    assert outcome.err == ""
    assert isinstance(jobs.progresses[0], SilentProgress)


def test_warnings_of_the_config_go_to_standard_error(jobs: FakeJobs, etl_ray: Execute) -> None:
    assert etl_ray("run", "IN", "OUT", "--quiet", "--products", "BTC-USDC").err == (
        "etl-ray: warning: product BTC-USDC is delivered by the venue as BTC-USD: BTC-USD is selected\n"
    )


def test_without_a_terminal_there_are_no_escape_codes(jobs: FakeJobs, etl_ray: Execute) -> None:
    jobs.summary = replace(SUMMARY, damaged=(DAMAGE,))
    for arguments in (["run", "IN", "OUT", "--json"], ["schema"], ["schema", "level2"], ["config"], ["--version"]):
        outcome = etl_ray(*arguments)
        assert "\x1b" not in outcome.out + outcome.err, arguments
        assert outcome.out


@pytest.mark.parametrize(
    ("damaged", "findings", "strict", "code"),
    [
        ((), (), False, 0),
        ((), (), True, 0),
        ((), ("x",), False, 0),
        ((), ("x",), True, 3),
        (("x",), (), False, 3),
        (("x",), (), True, 3),
    ],
)
def test_exit_code_of_a_summary(damaged: tuple[str, ...], findings: tuple[str, ...], strict: bool, code: int) -> None:
    assert replace(SUMMARY, damaged=damaged, findings=findings).exit_code(strict) == code
