"""The tables of a run: right, and the same however the work is cut and the input is packed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from backports import zstd
from pyarrow.parquet import ParquetFile

from etl_ray.orchestrators import book_build, work
from etl_ray.tables import Numbers
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import OWN, files_of, partitions_of, strays_of, table_files_of
from tests.reference import reference
from tests.reference.checkpoints import assert_checkpoints
from tests.reference.compare import assert_equal, read_output
from tests.reference.run import Reference

CUTS: list[dict[str, float]] = [
    {"unit_mb": 0.02, "block_mb": 0.02},
    {"unit_mb": 0.011, "block_mb": 0.0005},
    {"unit_mb": 1, "block_mb": 0.004, "rows_per_file": 50, "rows_per_group": 7},
    {"unit_mb": 0.04, "block_mb": 0.03, "rows_per_file": 1, "rows_per_group": 1000},
]


def long_lines_known(truth: Reference, long_lines: list[tuple[object, object]]) -> Reference:
    """Return the reference, which has no limit of the length of a line, with the text of these lines left out."""
    for row in truth.tables["rejects"]:
        if (row["segment"], row["line"]) in long_lines:
            row["raw"] = None
    return truth


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
def test_a_hostile_recording_gives_the_tables_of_the_reference(
    numbers: Numbers, hostile_dir: Path, output_dir: Path
) -> None:
    summary = run(hostile_dir, output_dir, numbers=numbers)
    truth = reference([hostile_dir], numbers=numbers)
    long_lines = [(row["segment"], row["line"]) for row in truth.tables["rejects"] if row["length"] > 250_000]  # type: ignore[operator]
    assert len(long_lines) == 4
    assert_equal(read_output(output_dir, numbers), long_lines_known(truth, long_lines))
    assert_checkpoints(output_dir, truth)
    counts = truth.counts
    told = (summary.lines, summary.bytes, summary.accepted, summary.ignored, summary.out_of_range, summary.blank)
    assert told == (counts.lines, counts.bytes, counts.accepted, counts.ignored, counts.out_of_range, counts.blank)
    assert (summary.rejects, summary.unknown_keys) == (counts.rejected, counts.unknown_keys)
    assert summary.messages == counts.messages
    assert summary.lines == (
        summary.accepted + summary.ignored + summary.out_of_range + summary.blank + summary.rejects
    )
    assert min(summary.rejects, summary.blank, summary.unknown_keys, summary.ignored) > 0
    assert summary.rows == {name: len(rows) for name, rows in truth.tables.items() if rows}
    assert strays_of(output_dir) == []


@pytest.fixture(scope="module")
def plain_output(hostile_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a run makes of the hostile recording."""
    output = tmp_path_factory.mktemp("plain") / "output"
    run(hostile_dir, output)
    return output


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_another_cut_gives_the_same_rows(
    cut: dict[str, float], hostile_dir: Path, plain_output: Path, output_dir: Path
) -> None:
    summary = run(hostile_dir, output_dir, staging=cut)
    # There is a checkpoint for each file of books: see tests.reference.checkpoints.
    whole, found = (
        {name: rows for name, rows in partitions_of(path).items() if not name.startswith("book_checkpoints/")}
        for path in (plain_output, output_dir)
    )
    assert found.keys() == whole.keys()
    assert [name for name in whole if not found[name].equals(whole[name], check_metadata=True)] == []
    assert {table: rows for table, rows in summary.rows.items() if table != "book_checkpoints"} == {
        table: sum(rows.num_rows for name, rows in whole.items() if name.split("/")[0] == table)
        for table in summary.rows
        if table != "book_checkpoints"
    }


@pytest.mark.parametrize("emit", ["message", "100ms"])
def test_chunks_of_books_do_not_show(
    emit: str, hostile_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level2 = {"channels": {"level2": {"processor_options": {"emit": emit}}}}
    run(hostile_dir, tmp_path / "whole", **level2)
    monkeypatch.setattr(book_build, "CHUNK_MESSAGES", 7)
    run(hostile_dir, tmp_path / "chunks", **level2)
    whole, found = partitions_of(tmp_path / "whole"), partitions_of(tmp_path / "chunks")
    assert found.keys() == whole.keys()
    assert [name for name in whole if not found[name].equals(whole[name], check_metadata=True)] == []
    assert max(rows.num_rows for name, rows in whole.items() if name.startswith("book/")) > 21


def test_rows_per_file_and_per_group_are_kept(sample_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir, staging={"block_mb": 0.001, "rows_per_file": 60, "rows_per_group": 25})
    sizes: dict[str, list[list[int]]] = {}
    for path in sorted(output_dir.glob("level2/product_id=BTC-USD/*/*.parquet")):
        metadata = ParquetFile(path).metadata
        groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        sizes.setdefault(path.parent.name, []).append(groups)
    for files in sizes.values():
        assert len(files) > 2
        for groups in files:
            assert groups[:-1] == [25] * (len(groups) - 1)
            assert 0 < groups[-1] <= 25
        # A file ends with the piece in which it reaches its size; here a piece is one message.
        assert all(sum(groups) >= 60 for groups in files[:-1])


def test_the_same_cut_gives_the_same_bytes(hostile_dir: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(hostile_dir, tmp_path / name, staging={"unit_mb": 0.03, "block_mb": 0.02, "rows_per_file": 100})
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert len(table_files_of(tmp_path / "one")) == 71


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_input_gives_the_same_tables(suffix: str, hostile_dir: Path, plain_output: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in hostile_dir.iterdir():
        data = path.read_bytes()
        (packed / f"{path.name}{suffix}").write_bytes(gzip.compress(data) if suffix == ".gz" else zstd.compress(data))
    packed_summary = run(packed, tmp_path / "tables")
    assert table_files_of(tmp_path / "tables") == table_files_of(plain_output)
    # A finding names the file.
    findings = [text.replace(f"{packed}/", f"{hostile_dir}/") for text in packed_summary.findings]
    plain_summary = run(hostile_dir, plain_output)
    assert [text.replace(f".ndjson{suffix}", ".ndjson") for text in findings] == list(plain_summary.findings)
    same = {"seconds": 0, "output": "", "run_id": "", "unchanged": False, "findings": [], "segments_read": 0}
    assert {**packed_summary.as_dict(), **same} == {**plain_summary.as_dict(), **same}


def test_partition_columns_can_be_chosen(sample_dir: Path, tmp_path: Path) -> None:
    columns: dict[str, tuple[str, ...]] = {"level2": ("date",), "ticker": (), "market_trades": ("date", "product_id")}
    channels = {name: {"partition_cols": list(names)} for name, names in columns.items()}
    run(sample_dir, tmp_path / "out", channels=channels)
    found = read_output(tmp_path / "out", partition_cols=columns)
    truth = reference([sample_dir])
    # Tickers are no witnesses where they are not together by product.
    truth.tables["witness"] = [row for row in truth.tables["witness"] if row["kind"] == "candle"]
    assert_equal(found, truth, partition_cols=columns)
    assert {path.parent.name for path in (tmp_path / "out" / "ticker").iterdir()} == {"ticker"}


def test_nothing_of_ours_that_is_no_table_lies_outside_its_directory(sample_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir)
    assert sorted(path.name for path in output_dir.iterdir()) == [
        OWN,
        "book",
        "candles",
        "connections",
        "coverage",
        "errors",
        "heartbeats",
        "instruments",
        "level2",
        "market_trades",
        "status",
        "subscriptions",
        "ticker",
        "witness",
    ]


def test_deep_books_are_held_in_smaller_pieces(
    sample_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    replay, build = book_build.ShardReplay, work.build_book

    def watched_replay(*arguments: object, **options: object) -> object:
        held.append(options["chunk_messages"])
        return replay(*arguments, **options)  # type: ignore[arg-type]

    def watched_build(*arguments: object) -> object:
        held.append(arguments[1].rows_per_group)  # type: ignore[attr-defined]
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(book_build, "ShardReplay", watched_replay)
    monkeypatch.setattr(work, "build_book", watched_build)
    options = {"depth": 1_000, "compute_features": False}  # 4,016 columns, where 128 are usual
    run(sample_dir, output_dir, products=["BTC-USD"], channels={"level2": {"processor_options": options}})
    assert held[:2] == [65_536 * 128 // 4_016, 32_768 * 128 // 4_016]
    assert set(held) == set(held[:2])
