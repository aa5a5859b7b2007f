"""Input of which most lines are no messages is refused, early where it begins that way, and nothing is committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from etl_ray.errors import WrongInputError
from etl_ray.orchestrators import run as run_module
from etl_ray.orchestrators import wrong_input
from etl_ray.orchestrators.engines import LocalEngine
from etl_ray.orchestrators.work import Stage
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import strays_of, table_files_of

GOOD = (
    '{"channel":"heartbeats","timestamp":"2025-11-26T14:00:00Z","sequence_num":%d,'
    '"events":[{"current_time":null,"heartbeat_counter":1}]}\n'
)


def write(path: Path, *, good: int, bad: int, blank: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("garbage\n" * bad + "\n" * blank + "".join(GOOD % number for number in range(good)))


def refused(source: Path, output: Path) -> str:
    with pytest.raises(WrongInputError) as raised:
        run(source, output)
    assert raised.value.exit_code == 1
    return str(raised.value)


def test_more_than_half_rejected_is_refused_before_the_build(input_dir: Path, output_dir: Path) -> None:
    write(input_dir / "a.ndjson", good=2, bad=2)
    write(input_dir / "b.ndjson", good=0, bad=1)
    assert refused(input_dir, output_dir) == (
        "3 of the first 5 lines were rejected, more than half: expected a recording of coinbase messages. "
        f"Nothing was committed. The first of them is in {input_dir}/a.ndjson, line 1: "
        "not JSON: unexpected character, expected a JSON value (byte 0 of the line)"
    )
    assert table_files_of(output_dir) == {}
    assert not (output_dir / "_etl_ray" / "manifests").exists()


def test_half_is_not_more_than_half_and_blank_lines_are_lines(input_dir: Path, output_dir: Path) -> None:
    write(input_dir / "a.ndjson", good=2, bad=3, blank=1)
    summary = run(input_dir, output_dir)
    assert (summary.lines, summary.rejects, summary.accepted, summary.blank) == (6, 3, 2, 1)
    assert summary.rows == {"heartbeats": 2, "rejects": 3, "connections": 1}


def test_no_lines_at_all_are_no_wrong_input(input_dir: Path, output_dir: Path) -> None:
    (input_dir / "a.ndjson").touch()
    summary = run(input_dir, output_dir)
    assert (summary.lines, summary.rows, summary.segments) == (0, {}, 1)
    assert run(input_dir, output_dir).unchanged


def test_a_refused_overwrite_leaves_what_is_committed(sample_dir: Path, input_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir, **FEW)
    before = table_files_of(output_dir)
    write(input_dir / "a.ndjson", good=1, bad=2)
    with pytest.raises(WrongInputError):
        run(input_dir, output_dir, overwrite=True)
    assert table_files_of(output_dir) == before
    assert run(sample_dir, output_dir, **FEW).unchanged
    assert strays_of(output_dir) == []


class Reversed(LocalEngine):
    """Does the last item first, as a cluster might."""

    def run(self, stage: Stage, options: bytes, items: Sequence[tuple[bytes, int]]) -> Iterator[tuple[int, bytes]]:
        for index, result in super().run(stage, options, items[::-1]):
            yield len(items) - 1 - index, result


@pytest.mark.parametrize("engine", [LocalEngine, Reversed])
@pytest.mark.parametrize(
    ("bad_in", "said"),
    [
        ({"a": 6}, "6 of the first 10 lines"),  # a whole run would have 6 of 40
        ({"a": 5, "b": 6}, None),
        ({"b": 10, "c": 10}, None),
        ({"b": 10, "c": 10, "d": 1}, "21 of the first 40 lines"),
    ],
)
def test_the_first_lines_decide_early_in_whatever_order_units_are_done(
    engine: type[LocalEngine],
    bad_in: dict[str, int],
    said: str | None,
    input_dir: Path,
    output_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "abcd":
        write(input_dir / f"{name}.ndjson", good=10 - bad_in.get(name, 0), bad=bad_in.get(name, 0))
    monkeypatch.setattr(wrong_input, "EARLY_STOP_LINES", 10)
    monkeypatch.setattr(run_module, "choose_engine", lambda *_arguments: engine())
    if said is None:
        assert run(input_dir, output_dir).rejects == sum(bad_in.values())
    else:
        assert refused(input_dir, output_dir).startswith(said)
        # What was read is not read again, and says the same.
        assert refused(input_dir, output_dir).startswith(said)


def test_an_early_stop_reads_no_further(input_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        write(input_dir / f"{name}.ndjson", good=0, bad=10)
    monkeypatch.setattr(wrong_input, "EARLY_STOP_LINES", 20)
    assert refused(input_dir, output_dir).startswith("20 of the first 20 lines")
    receipts = (output_dir / "_etl_ray" / "staged").glob("*/receipts/*.json")
    assert [path.name[:8] for path in sorted(receipts)] == ["a.ndjson", "b.ndjson"]
