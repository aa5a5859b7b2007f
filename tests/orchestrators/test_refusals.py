"""What a run refuses before it reads anything, and that it leaves no trace then."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_ray.config import CHANNELS
from etl_ray.errors import ConfigError
from etl_ray.orchestrators import normalize
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import assert_same_rows, files_of, table_files_of

SAME: dict[str, object] = {**FEW, "products": ("BTC-USD",), "end": "2025-11-27"}


def everything_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def refused(source: Path | str, output: Path | str, **overrides: object) -> str:
    """Run the job in vain, without being able to read a line; return what it says."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError) as raised:
        patch.delattr(normalize, "read_blocks")
        run(source, output, **overrides)
    assert raised.value.exit_code == 2
    return str(raised.value)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("{dir}/recording", "{dir}/recording"),
        ("{dir}/recording", "{dir}/recording/out"),
        ("{dir}/recording/", "{dir}/recording/deep/out/"),
        ("{dir}/recording", "file://{dir}/recording/out"),
        ("file://{dir}/recording", "{dir}/recording/out"),
        ("recording", "recording/out"),
        ("./recording", "../{name}/recording/out"),
        ("recording", "elsewhere/../recording/out"),
        (".", "out"),
        ("{dir}/link", "{dir}/recording/out"),
        ("{dir}/recording", "{dir}/link/out"),
        ("{dir}/recording", "{dir}/link/new/out"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_output_inside_input(
    source: str, output: str, overwrite: bool, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(recording)
    (tmp_path / "elsewhere").mkdir()
    before = everything_below(tmp_path)
    source, output = (text.format(dir=tmp_path, name=tmp_path.name) for text in (source, output))
    message = refused(source, output, overwrite=overwrite)
    assert message == f"OUTPUT {output} lies inside INPUT {source}; expected a place outside it"
    assert everything_below(tmp_path) == before


def test_output_beside_input_with_a_longer_name_is_fine(recording: Path, tmp_path: Path) -> None:
    assert run(recording, tmp_path / "recording-out", **FEW).segments == 4
    assert run(f"{recording}/*.ndjson", tmp_path / "recording" / "out", **FEW).segments == 4


def test_a_pattern_that_finds_files_of_output(recording: Path) -> None:
    output = recording / "out"
    heartbeats = {"channels": {name: {"enabled": name == "heartbeats"} for name in CHANNELS}, "start": "2025-11-27"}
    pattern = f"{recording}/**/*n"  # .ndjson, and .json as well
    run(pattern, output, **heartbeats)
    before = files_of(output)
    (table_file,) = (name for name in table_files_of(output) if name.startswith("heartbeats/"))
    assert refused(pattern, output, **heartbeats, overwrite=True) == (
        f"INPUT leads to 1 files below OUTPUT {output} ({output}/_etl_ray/manifests/000001.json); "
        "expected places apart from each other, or a pattern that leaves OUTPUT out"
    )
    assert refused(f"{output}/heart*/**/*.parquet", output, **heartbeats).startswith(
        f"INPUT leads to 1 files below OUTPUT {output} ({output}/{table_file}); expected"
    )
    assert files_of(output) == before


def test_output_is_a_file(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    message = refused(recording, tmp_path / "out", overwrite=True)
    assert message == f"OUTPUT {tmp_path}/out is a file; expected a directory, or a name that is free"
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_output_is_refused_even_with_overwrite(overwrite: bool, recording: Path, output_dir: Path) -> None:
    (output_dir / "level2").mkdir(parents=True)
    (output_dir / "level2" / "part-00000.parquet").write_text("theirs")
    (output_dir / "notes.txt").write_text("theirs")
    before = files_of(output_dir)
    assert refused(recording, output_dir, overwrite=overwrite) == (
        f"OUTPUT {output_dir} holds 2 files and was not made by etl-ray (it has no _etl_ray); "
        "expected an empty directory, a free name, or an output of etl-ray"
    )
    assert files_of(output_dir) == before
    assert not (output_dir / "_etl_ray").exists()


def test_input_inside_output(recording: Path, tmp_path: Path) -> None:
    before = everything_below(tmp_path)
    assert refused(recording, tmp_path, overwrite=True) == (
        f"INPUT leads to 4 files below OUTPUT {tmp_path} ({recording}/segment_20251126T23_00001.ndjson); "
        "expected places apart from each other, or a pattern that leaves OUTPUT out"
    )
    assert everything_below(tmp_path) == before


def test_an_empty_output_is_taken(recording: Path, output_dir: Path) -> None:
    (output_dir / "empty").mkdir(parents=True)
    (output_dir / ".DS_Store").write_text("left by a file browser")
    assert run(recording, output_dir, **FEW).segments == 4
    assert (output_dir / ".DS_Store").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing", "nothing at {dir}/nothing: expected"),
        ("nothing*.ndjson", "nothing at {dir}/nothing*.ndjson: expected"),
        ("empty", "no segments in {dir}/empty: expected files that end in .ndjson"),
        ("twice", "two files of one identity 'a.ndjson': {dir}/twice/a.ndjson and {dir}/twice/b/a.ndjson.gz"),
    ],
)
def test_an_input_without_segments_of_its_own_leaves_no_output(
    source: str, said: str, tmp_path: Path, output_dir: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice" / "b").mkdir(parents=True)
    (tmp_path / "twice" / "a.ndjson").touch()
    (tmp_path / "twice" / "b" / "a.ndjson.gz").touch()
    assert refused(tmp_path / source, output_dir).startswith(said.format(dir=tmp_path))
    assert not output_dir.exists()


@pytest.fixture
def output_of_few(recording: Path, output_dir: Path) -> Path:
    """Return an output of the config SAME."""
    run(recording, output_dir, **SAME)
    return output_dir


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        ({"numbers": "decimal"}, 'numbers: "float64" there, "decimal" here'),
        ({"products": ()}, 'products: ["BTC-USD"] there, [] here'),
        (
            {"channels": {"level2": {"enabled": True}, "candles": {"enabled": False}}},
            "channels.errors: not enabled there, enabled here; channels.heartbeats: not enabled there, enabled here; "
            "channels.status: not enabled there, enabled here; channels.subscriptions: not enabled there, enabled "
            "here; channels.ticker: not enabled there, enabled here",
        ),
        (
            {"channels": {**FEW["channels"], "level2": {"partition_cols": ["date"]}}},  # type: ignore[dict-item]
            'channels.level2.partition_cols: ["product_id", "date"] there, ["date"] here',
        ),
        (
            {"staging": {"rows_per_file": 7, "unit_mb": 2}},
            "staging.rows_per_file: 4000000 there, 7 here; staging.unit_bytes: 1000000 there, 2000000 here",
        ),
    ],
)
def test_another_config_is_refused_with_the_differences(
    overrides: dict[str, object], difference: str, output_of_few: Path, recording: Path
) -> None:
    before = files_of(output_of_few)
    assert refused(recording, output_of_few, **{**SAME, **overrides}) == (
        f"OUTPUT {output_of_few} was made with another config: {difference}. "
        "Give another OUTPUT, or --overwrite to replace it"
    )
    assert files_of(output_of_few) == before


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (
            {"end": "2025-11-27"},
            {"start": "2025-11-27T00:00:00.5Z"},
            "holds the beginning to 2025-11-27T00:00:00Z, this run asks for 2025-11-27T00:00:00.5Z to the end",
        ),
        (
            {"start": "2025-11-27", "end": "2025-11-28"},
            {"start": "2025-11-26", "end": "2025-11-26T23:59:59.999999999Z"},
            "holds 2025-11-27T00:00:00Z to 2025-11-28T00:00:00Z, this run asks for 2025-11-26T00:00:00Z to "
            "2025-11-26T23:59:59.999999999Z",
        ),
    ],
)
def test_a_range_that_would_leave_a_hole(
    there: dict[str, object], here: dict[str, object], said: str, recording: Path, output_dir: Path
) -> None:
    run(recording, output_dir, **FEW, **there)
    before = files_of(output_dir)
    assert refused(recording, output_dir, **FEW, **here) == (
        f"OUTPUT {output_dir} {said}: expected a range that continues it. "
        "Give one that does, another OUTPUT, or --overwrite to replace it"
    )
    assert files_of(output_dir) == before


def test_a_range_that_needs_a_segment_that_is_gone(output_of_few: Path, recording: Path, tmp_path: Path) -> None:
    before = files_of(output_of_few)
    gone = recording / "segment_20251127T00_00003.ndjson"
    gone.rename(tmp_path / gone.name)
    assert run(recording, output_of_few, **SAME).unchanged
    assert refused(recording, output_of_few, **{**SAME, "end": None}) == (
        f"OUTPUT {output_of_few} holds rows of {gone.name}, which INPUT does not have any more, and which has to be "
        "read again for this range or because its receipts are lost: bring it back, or --overwrite to replace OUTPUT "
        "without it"
    )
    assert files_of(output_of_few) == before
    (tmp_path / gone.name).rename(gone)
    run(recording, output_of_few, **{**SAME, "end": None})
    run(recording, tmp_path / "fresh", **{**SAME, "end": None})
    assert_same_rows(output_of_few, tmp_path / "fresh")


def test_overwrite_replaces_what_another_config_made_of_other_segments(recording: Path, tmp_path: Path) -> None:
    output, fresh = tmp_path / "output", tmp_path / "fresh"
    run(recording, output)
    (recording / "segment_20251126T23_00002.ndjson").unlink()
    other: dict[str, object] = {**FEW, "numbers": "decimal", "products": ("ETH-USD",), "start": "2025-11-26"}
    run(recording, output, **other, overwrite=True)
    run(recording, fresh, **other)
    assert {name.split("/")[0] for name in table_files_of(output)} == {
        "level2",
        "market_trades",
        "book",
        "coverage",
        "connections",
    }
    assert table_files_of(output) == table_files_of(fresh)
    assert run(recording, output, **other).unchanged
