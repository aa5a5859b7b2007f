"""What is staged of each message."""

from __future__ import annotations

from pathlib import Path

from etl_ray.orchestrators.numbered import NumberedWriter, read_messages
from etl_ray.scan import LineParser
from etl_ray.venues import VENUES
from etl_ray.venues.rows import NULL
from tests.scan.outcome import parse
from tests.scan.wire import book, level, message, write

SERVER_NS = 1_764_165_600_123_456_789
USER = b'{"channel":"user","sequence_num":9,"events":[]}'


def test_columns_of_a_unit(tmp_path: Path) -> None:
    parser = LineParser(VENUES["coinbase"], "float64", block_bytes=1 << 16)
    first = [write(message("l2_data", book("update", "A-B", level("bid", "1", "2")), number=7)), b"not JSON", USER]
    second = [write(message("heartbeats", {"heartbeat_counter": 5}, {"heartbeat_counter": 6}, number=8))]
    with NumberedWriter(str(tmp_path), "unit") as writer:
        before = [
            writer.add(parsed) for lines in (first, second) for parsed in parse(parser, b"\n".join(lines) + b"\n")
        ]
        file = writer.finish(parser.symbols)
    assert before == [0, 2]
    assert (file.path, file.symbols) == ("numbered/unit.rows", ("A-B",))
    assert file.bytes == (tmp_path / file.path).stat().st_size
    assert read_messages(str(tmp_path), file.path).to_pydict() == {
        "sequence_num": [7, 9, 8],
        "product": [0, -1, -1],
        "heartbeat_counter": [NULL, NULL, 5],
        "line": [1, 3, 4],
        "ts_server": [SERVER_NS, NULL, SERVER_NS],
        "channel": [0, parser.channels.index("user"), parser.channels.index("heartbeats")],
    }
