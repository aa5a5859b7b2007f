"""`etl-ray plan`: what it prints, and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray.cli.plan_report import data, duration
from etl_ray.sample import SampleOptions, write_sample
from tests.cli.fakes import Execute

SAMPLE = SampleOptions(minutes=0.1, products=("BTC-USD",), rate=5, levels=10, segment_mb=0.012)


@pytest.fixture
def recording(etl_ray: Execute) -> None:
    write_sample("recording", SAMPLE)


@pytest.mark.usefixtures("recording")
def test_an_estimate_is_shown_in_two_tables_and_figures(etl_ray: Execute) -> None:
    shown = etl_ray("plan", "recording", "--cores", "4", "--quiet")
    segments = len(list(Path("recording").iterdir()))
    lines = [line.rstrip() for line in shown.out.splitlines()]

    assert (shown.code, shown.err) == (0, "")
    assert re.fullmatch(r"recording: an estimate, from [\d.]+ kB of its segments:", lines[0])
    first = [line.split()[1] for line in lines if line.startswith("│")]
    assert first[:3] == ["level2", "market_trades", "ticker"]
    assert first[-9:] == ["normalize", "build", "trades", "candles", "compose", "books", "witness", "driver", "all"]
    figures = [line.split("  ")[0] for line in lines if line and line[0] not in "┏┃┡│├└ "][1:]
    assert list(dict.fromkeys(figures)) == [
        *("Segments", "Bytes", "Covered", "Output", "Staged", "Time", "Memory", "Requests", "Cost", "Limit"),
        "This machine",
    ]
    assert next(line for line in lines if line.startswith("Segments")).split(maxsplit=1)[1] == (
        f"{segments}; {segments} units, 1 product"
    )
    assert max(map(len, lines)) <= 120


@pytest.mark.usefixtures("recording")
def test_json_is_one_line_that_other_options_change(etl_ray: Execute) -> None:
    Path("prices.yaml").write_text("core_hour: 2.0\ncurrency: EUR\n")
    options = ("plan", "recording", "--cores", "4", "--json", "--quiet")

    plain, priced = etl_ray(*options), etl_ray(*options, "--prices", "prices.yaml", "--no-books")
    other = etl_ray(*options, "--prices", "prices.yaml", "--core-hour-price", "3")

    assert plain.out.count("\n") == 1
    assert json.loads(plain.out)["prices"]["core_hour"] == 0.04
    found = json.loads(priced.out)
    assert (found["prices"]["core_hour"], found["prices"]["currency"]) == (2.0, "EUR")
    assert found["core_cost"] == pytest.approx(2 * found["core_hours"])
    assert "book" not in found["tables"]
    assert json.loads(other.out)["prices"]["core_hour"] == 3.0


@pytest.mark.usefixtures("recording")
def test_of_an_output_that_is_up_to_date_there_is_nothing_to_do(etl_ray: Execute) -> None:
    assert etl_ray("run", "recording", "OUT", "--engine", "local", "--quiet").code == 0

    shown = etl_ray("plan", "recording", "OUT", "--cores", "4", "--quiet")

    segments = len(list(Path("recording").iterdir()))
    assert shown.out.splitlines() == [
        "recording to OUT: an estimate, from 0 B of its segments:",
        f"nothing to do: {segments} segments committed already",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recording",), "Missing option '--cores'"),
        (("recording", "--cores", "0"), "cores: expected a number above 0, found 0"),
        (("recording", "--cores", "many"), "Invalid value for '--cores'"),
        (("empty", "--cores", "2"), "no segments in empty"),
        (("nowhere", "--cores", "2"), "nothing at nowhere"),
        (("recording", "recording/out", "--cores", "2"), "lies inside INPUT"),
        (("recording", "--cores", "2", "--prices", "wrong.yaml"), "wrong.yaml:1: core_our: unknown key"),
        (("recording", "--cores", "2", "--core-hour-price", "-1"), "core_hour: expected a number from 0"),
        (("recording", "--cores", "2", "--channels", "nothing"), "unknown channel 'nothing'"),
    ],
)
@pytest.mark.usefixtures("recording")
def test_what_is_wrong_is_told_in_one_line(arguments: tuple[str, ...], message: str, etl_ray: Execute) -> None:
    Path("empty").mkdir()
    Path("empty/file").touch()
    Path("wrong.yaml").write_text("core_our: 1\n")

    refused = etl_ray("plan", *arguments)

    assert (refused.code, refused.out) == (2, "")
    assert message in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.usefixtures("recording")
def test_a_narrow_terminal_is_not_overrun() -> None:
    parent, child = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb", "PYTHONPATH": str(Path(__file__).parents[2])}
    code = "import sys; from etl_ray.cli import main; sys.argv[0] = 'etl-ray'; main()"
    command = [sys.executable, "-c", code, "plan", "recording", "--cores", "4", "--quiet"]
    subprocess.run(command, stdout=child, env=environment, check=True)
    os.close(child)
    shown = b""
    try:
        while piece := os.read(parent, 65_536):
            shown += piece
    except OSError:
        pass  # how Linux says that nobody writes any more
    os.close(parent)

    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
    assert len(lines) > 20
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_sizes_and_times_have_the_unit_that_suits() -> None:
    assert [data(size) for size in (0, 999, 1500, 2.5e6, 1e12, 3e18)] == [
        *("0 B", "999 B", "1.5 kB", "2.5 MB", "1.0 TB", "3,000.0 PB"),
    ]
    assert [duration(s) for s in (0, 0.0123, 59, 90, 3600 * 30, 86_400 * 3)] == [
        *("0.0 s", "12 ms", "59.0 s", "1.5 min", "30.0 h", "3.0 d"),
    ]
