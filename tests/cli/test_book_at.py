"""`etl-ray book-at` over a recording that was written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etl_ray import JobConfig
from etl_ray.job import ETLJob
from tests.cli.fakes import Execute
from tests.coverage.notation import read

_RECORDING = """# A connection that loses a message and ends; another one without a snapshot
start: 2025-11-26T14:00:00Z

recording:
a0 0 hb 1
a1 1.000000001 snap BTC b99999.5x1 b100x0.25 a100000x10.125
a2 2 up BTC b100x0 b99999.25x3
a4 3 hb 9
b0 10 hb 1
b1 11 up BTC
b2 12 up BTC a7x1
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("book_at")
    (directory / "recording.txt").write_text(_RECORDING)
    (directory / "input").mkdir()
    read(directory / "recording.txt").save(directory / "input")
    ETLJob(str(directory / "input"), str(directory / "output"), config=JobConfig(engine="local")).process_all()
    return str(directory / "output")


def test_ladder(etl_ray: Execute, output: str) -> None:
    found = etl_ray("book-at", output, "BTC-USD", "2025-11-26T14:00:01.5Z")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines() == [
        "BTC-USD at 2025-11-26T14:00:01.5Z: verified",
        "┏━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━┓",
        "┃ Bid size ┃      Bid ┃     Ask ┃ Ask size ┃",
        "┡━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━┩",
        "│     1.00 │ 99,999.5 │ 100,000 │   10.125 │",
        "│     0.25 │    100.0 │         │          │",
        "└──────────┴──────────┴─────────┴──────────┘",
        "Last message: segment_20251126T14_00001.ndjson:2, sequence_num 1, sent 2025-11-26T14:00:01.000000001Z, "
        "connection segment_20251126T14_00001.ndjson:1",
    ]


def test_depth_and_cause(etl_ray: Execute, output: str) -> None:
    found = etl_ray("book-at", output, "BTC-USD", "2025-11-26T14:00:02Z", "--depth", "1")
    lines = found.out.splitlines()
    assert lines[0] == "BTC-USD at 2025-11-26T14:00:02Z: suspect (lost, since 2025-11-26T14:00:02Z)"
    assert [line for line in lines if "│" in line] == ["│        1 │ 99,999.5 │ 100,000 │   10.125 │"]


def test_json(etl_ray: Execute, output: str) -> None:
    found = etl_ray("book-at", output, "BTC-USD", "2025-11-26T14:00:02.000000007Z", "--json")
    assert json.loads(found.out) == {
        "product_id": "BTC-USD",
        "ts": "2025-11-26T14:00:02.000000007Z",
        "book_state": "suspect",
        "cause": "lost",
        "since": "2025-11-26T14:00:02Z",
        "until": "2025-11-26T14:00:03Z",
        "connection_id": "segment_20251126T14_00001.ndjson:1",
        "segment": "segment_20251126T14_00001.ndjson",
        "line": 3,
        "sequence_num": 2,
        "ts_server": "2025-11-26T14:00:02Z",
        "numbers": "float64",
        "bids": [[99999.5, 1.0], [99999.25, 3.0]],
        "asks": [[100000.0, 10.125]],
    }


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("2025-11-26", "start (the recording has nothing of it yet) until 2025-11-26T14:00:01.000000001Z"),
        (
            "1764165605000000000",
            "connection_end (its connection has ended) since 2025-11-26T14:00:03Z until 2025-11-26T14:00:11Z",
        ),
        ("2025-11-27", "end (the recording has ended) since 2025-11-26T14:00:12Z"),
    ],
)
def test_no_data(time: str, said: str, etl_ray: Execute, output: str) -> None:
    found = etl_ray("book-at", output, "BTC-USD", time)
    assert (found.code, found.err) == (0, "")
    _, _, told = found.out.partition("Z: no data: ")
    assert told == said + "\n"


def test_updates_without_a_snapshot(etl_ray: Execute, output: str) -> None:
    found = etl_ray("book-at", output, "BTC-USD", "2025-11-26T14:00:12Z")
    lines = found.out.splitlines()
    assert lines[0] == "BTC-USD at 2025-11-26T14:00:12Z: no_snapshot (since 2025-11-26T14:00:11Z)"
    assert [line for line in lines if "│" in line] == ["│        1 │  99 │   7 │        1 │"]


def test_errors(etl_ray: Execute, output: str, tmp_path: Path) -> None:
    found = etl_ray("book-at", output, "BTC-EUR", "2025-11-26")
    assert (found.code, found.out) == (2, "")
    assert found.err == "etl-ray: error: no book of BTC-EUR in OUTPUT; did you mean 'BTC-USD'? known: BTC-USD\n"
    found = etl_ray("book-at", str(tmp_path), "BTC-USD", "2025-11-26")
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith(" holds no committed run; expected the OUTPUT of etl-ray run\n")
