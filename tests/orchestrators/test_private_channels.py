"""What a private channel carries is never written: not in tables, rejects, receipts, manifests, staging or messages."""

from __future__ import annotations

import gzip
import logging
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.cli import main
from etl_ray.errors import StorageError
from etl_ray.orchestrators.manifest import Ledger
from etl_ray.orchestrators.staged_rows import GroupReader
from tests.orchestrators.jobs import run

SECRET = "75317531"
"""Digits, so that it can be planted where a number, a time or a name is expected."""
PRICE = "7531.7531"

VALID_PRIVATE = [
    '{"channel":"user","client_id":"S","timestamp":"2025-11-26T14:00:00Z","sequence_num":1,"events":[{"type":"snapshot",'
    '"orders":[{"order_id":"S","product_id":"S-USD","limit_price":"P","client_order_id":"S","side":"BUY"}],"S":"S"}]}',
    '{"channel":"futures_balance_summary","timestamp":"S","sequence_num":2,"events":[{"fcm_balance_summary":{"S":"P"}}]}',
    '{"capture_ts":"S","data":{"channel":"user","sequence_num":"-S","events":"S"},"metadata":{"channel":"l2_data","S":"S"}}',
    '{"channel":"user"}',
    '{"chan\\u006eel":"us\\u0065r","timestamp":"2025-11-26T14:00:00Z","sequence_num":3,"events":[{"product_id":"S"}]}',
    '{"channel":"l2_data","timestamp":"2025-11-26T14:00:00Z","sequence_num":4,"events":[{"type":"update","product_id":'
    '"S-USD","updates":[{"side":"bid","price_level":"P","new_quantity":"P"}]}],"channel":"user"}',
    '{"sequence_num":5,"events":[{"channel":"ticker","product_id":"S"}],"channel" : "user" }',
]
BROKEN_PRIVATE = [
    '{"channel":"user","timestamp":"2025-11-26T14:00:00Z","sequence_num":6,"events":[{"order_id":"S","limit_price":"P',
    '{"channel":"user","timestamp":"2025-11-26T14:00:00Z","sequence_num":6,"events":[{"order_id":"S"}]}}',
    '{"channel":"user" "S"}',
    'S {"channel":"user","S":"S"}',
    '{"channel":["user","S"],"timestamp":"2025-11-26T14:00:00Z","sequence_num":6,"events":[]}',
    '{"channel":{"user":"S"},"timestamp":"2025-11-26T14:00:00Z","sequence_num":6,"events":[]}',
    '{"channel":"user S","timestamp":"2025-11-26T14:00:00Z","sequence_num":6,"events":[]}',
    '{"channel":"l2_data","timestamp":"user S","sequence_num":6,"events":[]}',
    '{"channel":"l2_data","timestamp":"2025-11-26T14:00:00Z","sequence_num":7,"events":[{"type":"update","product_id":'
    '"BTC-USD","updates":[{"side":"bid","price_level":"P","new_quantity":"1"{"channel":"user","order_id":"S"}',
    '{"channel":"market_trades","timestamp":"2025-11-26T14:00:00Z","sequence_num":8,"events":[{"type":"update","trades":'
    '[{"product_id":"S-USD","trade_id":"S","price":"P","size":"P","time":"2025-11-26T14:00:00Z","side":"BUY"},'
    '{"channel":"user"}]}]}',
    '{"channel":"ticker","channel2":"us\\u0065r","events":[{"order_id":"S"}',
    '{"channel":"candles","client_id":"futures_balance_summary S","timestamp":"2025-11-26T14:00:00Z",'
    '"sequence_num":"-S"}',
    '{"channel":"user","pad":"' + "x" * 300_000 + '","S":"S"}',
    '{"channel":"level2","S":"S","channel":"ticker","pad":"' + "x" * 300_000 + '","channel":"user"}',
    '{"channel":"ticker","S":"S","pad":"' + "x" * 300_000 + '"',
]
PUBLIC = (
    '{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":9,'
    '"events":[{"current_time":null,"heartbeat_counter":%d}]}'
)
PUBLIC_LINES = [PUBLIC % number for number in range(30)]
CUT_LAST = '{"channel":"user","timestamp":"2025-11-26T14:00:00Z","sequence_num":10,"events":[{"order_id":"S'


@pytest.fixture
def planted(input_dir: Path) -> Path:
    """Return segments with secrets in all messages of private channels, one plain and cut, one cut while packed."""
    text = "\n".join([*VALID_PRIVATE, *PUBLIC_LINES, *BROKEN_PRIVATE, CUT_LAST])
    data = text.replace("S", SECRET).replace("P", PRICE).replace("U" + SECRET, "US").encode()
    (input_dir / "segment_20251126T14_00001.ndjson").write_bytes(data)
    lines = "\n".join([*PUBLIC_LINES, *VALID_PRIVATE * 40]).replace("S", SECRET).encode()
    (input_dir / "segment_20251126T14_00002.ndjson.gz").write_bytes(gzip.compress(lines)[:-30])
    return input_dir


def words_of(path: Path) -> Iterator[str]:
    """Yield all that a file holds: its bytes and every value in tables, those of dictionaries that no row has too."""
    data = path.read_bytes()
    yield data.decode("latin-1")
    if data[-4:] == b"PAR1":
        with pq.ParquetFile(path) as file:
            yield from words_of_table(file.read())
    elif path.suffix == ".rows":
        with GroupReader.open(str(path.parent), path.name) as groups:
            for section in groups.sections:
                for group in range(groups.count(section)):
                    yield from words_of_table(pa.Table.from_batches([groups.read(section, group)]))
    elif path.suffix == ".arrow":
        open_table = pa.ipc.open_file if data.startswith(b"ARROW1") else pa.ipc.open_stream
        with pa.OSFile(str(path)) as file, open_table(file) as stored:
            yield from words_of_table(stored.read_all())


def words_of_table(table: pa.Table) -> Iterator[str]:
    for column in table.columns:
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type):
                yield str(chunk.dictionary.to_pylist())
            if pa.types.is_binary(chunk.type):  # receipts are packed
                packed = (value for value in chunk.to_pylist() if value is not None and value.startswith(b"x"))
                yield from (zlib.decompress(value).decode("latin-1") for value in packed)
            yield str(chunk.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(chunk.type) else chunk.to_pylist())


def leaks_of(directory: Path) -> list[str]:
    marks = (SECRET, PRICE, SECRET[:6])
    return [
        str(path.relative_to(directory))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and any(mark in word or mark in str(path) for word in words_of(path) for mark in marks)
    ]


@pytest.mark.parametrize(
    "cut",
    [{}, {"unit_mb": 0.002, "block_mb": 0.0005, "max_line_mb": 0.25}, {"rows_per_group": 3}],
    ids=["whole", "units", "groups"],
)
def test_nothing_below_output_holds_it(cut: dict[str, float], planted: Path, output_dir: Path) -> None:
    summary = run(planted, output_dir, staging=cut)
    assert summary.messages["user"] > 6
    assert summary.messages["futures_balance_summary"] > 1
    assert summary.messages["heartbeats"] == 60
    assert summary.rejects >= len(BROKEN_PRIVATE)
    assert len(summary.damaged) == 1
    assert leaks_of(output_dir) == []
    assert [
        name for text in (str(summary), *summary.damaged, *summary.findings) for name in (SECRET,) if name in text
    ] == []


def test_the_search_finds_what_is_kept_of_public_channels(planted: Path, output_dir: Path) -> None:
    segment = planted / "segment_20251126T14_00001.ndjson"
    bad = '{"channel":"ticker","timestamp":"S","sequence_num":1,"events":[]}\n'.replace("S", SECRET)
    segment.write_bytes(bad.encode() + segment.read_bytes())
    run(planted, output_dir)
    found = leaks_of(output_dir)
    assert [name.partition("-")[0] for name in found[:2]] == [
        "_etl_ray/manifests/000001.json",  # it quotes the reason of the first reject
        "_etl_ray/receipts/000001",
    ]
    assert [str(Path(name).parent) for name in found[2:]] == [
        "_etl_ray/staged/000001/kept",
        "rejects/date=2025-11-26",
    ]


def test_nothing_of_a_run_that_died_holds_it(planted: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_arguments: object) -> bool:
        raise StorageError("the disk has gone")

    monkeypatch.setattr(Ledger, "commit", die)
    with pytest.raises(StorageError, match="the disk has gone"):
        run(planted, output_dir)
    assert len(list(output_dir.glob("_etl_ray/staged/*/receipts/*.json"))) == 2
    assert leaks_of(output_dir) == []


def test_nothing_that_is_printed_or_logged_holds_it(
    planted: Path,
    output_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "argv", ["etl-ray", "run", str(planted), str(output_dir), "--engine", "local", "--json"])
    with caplog.at_level(logging.DEBUG), pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 3
    printed = capfd.readouterr()
    assert "damaged" in printed.out + printed.err
    assert SECRET not in printed.out + printed.err + caplog.text
