"""How a commit becomes visible: what a reader sees who goes by no manifest, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from etl_ray import storage
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import files_of, pieces_of, places_of, strays_of, table_files_of

CUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.01, "rows_per_file": 100}}
RECUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.01, "rows_per_file": 160}}


class StoppedError(Exception):
    """Stands for the death of the process."""


@contextmanager
def stopped_before(step: int, monkeypatch: pytest.MonkeyPatch, *, of: tuple[str, ...]) -> Iterator[list[str]]:
    """Let the process die before the storage does its `step`th of these functions, counted from 1; creates: manifests.

    Yield the names of those that it has done.
    """
    left = step
    done: list[str] = []

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            if function.__name__ == "create_new" and "/manifests/" not in str(arguments[0]):
                return function(*arguments, **options)
            left -= 1
            if left <= 0:
                raise StoppedError
            done.append(function.__name__)
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in of:
            patch.setattr(storage, name, counted(getattr(storage, name)))
        yield done


@pytest.mark.parametrize("table", ["level2", "book"])
def test_a_glob_never_sees_a_row_twice_while_files_are_replaced_by_others_of_another_cut(
    table: str, sample_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sample_dir, output_dir, **CUT)
    old = set(places_of(output_dir, table))
    seen: list[int] = []

    def watched(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **options: object) -> None:
            function(*arguments, **options)
            visible = places_of(output_dir, table)
            assert len(visible) == len(set(visible))
            assert set(visible) <= old
            seen.append(len(visible))

        return call

    with monkeypatch.context() as patch:
        for name in ("move", "delete"):
            patch.setattr(storage, name, watched(getattr(storage, name)))
        run(sample_dir, output_dir, **RECUT, overwrite=True)
    assert min(seen) < max(seen) == len(old)
    assert set(places_of(output_dir, table)) == old


def test_publishing_that_died_is_finished_by_the_next_run(
    sample_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sample_dir, tmp_path / "undisturbed", **RECUT)
    wanted = table_files_of(tmp_path / "undisturbed")
    kinds = ("create_new", "move", "delete", "delete_tree")
    run(sample_dir, tmp_path / "measured", **CUT)
    with stopped_before(100_000, monkeypatch, of=kinds) as steps:
        run(sample_dir, tmp_path / "measured", overwrite=True, **RECUT)
    # What is superseded goes, what is new comes, then what the run needed goes.
    committed, moved, cleared = (steps.index(name) for name in ("create_new", "move", "delete_tree"))
    assert set(steps[committed + 1 : moved]) == {"delete"} == set(steps[cleared:]) - {"delete_tree"}
    assert set(steps[moved:cleared]) == {"move"}
    assert min(moved - committed, cleared - moved, len(steps) - cleared) > 10
    middle = (moved + cleared) // 2
    for done in (
        committed + 1,
        committed + 2,
        moved - 1,
        moved,
        moved + 1,
        middle,
        cleared,
        cleared + 1,
        len(steps) - 1,
    ):
        output = tmp_path / str(done)
        run(sample_dir, output, **CUT)
        with stopped_before(done + 1, monkeypatch, of=kinds), pytest.raises(StoppedError):
            run(sample_dir, output, overwrite=True, **RECUT)
        assert table_files_of(output) != wanted or strays_of(output)
        assert run(sample_dir, output, **RECUT).unchanged
        assert table_files_of(output) == wanted
        assert strays_of(output) == []


def test_a_dead_first_run_left_nothing_in_sight(
    sample_dir: Path, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_before(1, monkeypatch, of=("create_new",)), pytest.raises(StoppedError):
        run(sample_dir, output_dir, **CUT)
    assert table_files_of(output_dir) == {}
    assert len(list(output_dir.glob("_etl_ray/runs/*/tables-000001/**/*.parquet"))) == 35
    run(sample_dir, output_dir, **RECUT)
    run(sample_dir, tmp_path / "undisturbed", **RECUT)
    assert table_files_of(output_dir) == table_files_of(tmp_path / "undisturbed")
    assert strays_of(output_dir) == []


def test_what_a_dead_run_would_have_put_in_the_place_of_the_same_run_is_not_published(
    sample_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sample_dir, output_dir, **CUT)
    with stopped_before(1, monkeypatch, of=("create_new",)), pytest.raises(StoppedError):
        run(sample_dir, output_dir, **CUT, overwrite=True)
    for path in output_dir.glob("level2/**/*.parquet"):
        path.write_bytes(path.read_bytes()[::-1])
    before = table_files_of(output_dir)
    assert run(sample_dir, output_dir, **CUT).unchanged
    assert table_files_of(output_dir) == before


def test_a_run_that_finds_nothing_to_do_clears_what_dead_writers_left(sample_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir, **FEW)
    before = files_of(output_dir)
    hidden = ".0123456789abcdef.tmp"
    for name in (hidden, f"_etl_ray/{hidden}", f"_etl_ray/manifests/{hidden}", f"level2/product_id=BTC-USD/{hidden}"):
        (output_dir / name).write_bytes(b"half a file")
    (output_dir / "_etl_ray" / "runs" / "0123456789abcdef").mkdir(parents=True)
    (output_dir / "_etl_ray" / "runs" / "0123456789abcdef" / "staged.parquet").write_bytes(b"whole")
    unit = next(path.name for path in (output_dir / "_etl_ray/staged/000001/rows").iterdir())
    for name in (
        "receipts/000007.parquet",
        "results/000002.parquet",
        "staged/000002/rows/x-0123456789ab.rows",
        f"staged/000002/rows/{unit}",
        "staged/000001/rows/x-0123456789ab.rows",
        "staged/000001/book/composed/x.arrow",
        "staged/000001/connections/x.int32",
        f"staged/000001/receipts/{Path(unit).stem}.json",
    ):
        (output_dir / "_etl_ray" / name).parent.mkdir(parents=True, exist_ok=True)
        (output_dir / "_etl_ray" / name).write_bytes(b"of a run that died")
    (output_dir / "level2" / ".keep").write_bytes(b"not ours")
    assert run(sample_dir, output_dir, **FEW).unchanged
    assert files_of(output_dir) == {**before, "level2/.keep": b"not ours"}
    assert not (output_dir / "_etl_ray" / "runs").exists()


def test_staging_elsewhere_keeps_the_pieces_of_units_alone(
    sample_dir: Path, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {**FEW, "staging": {"url": str(tmp_path / "staging")}}
    with stopped_before(1, monkeypatch, of=("create_new",)), pytest.raises(StoppedError):
        run(sample_dir, output_dir, **elsewhere)
    assert any((tmp_path / "staging").rglob("*.rows"))
    run(sample_dir, output_dir, **elsewhere)
    (own,) = (tmp_path / "staging").iterdir()
    assert set(files_of(own)) == pieces_of(output_dir, own)
    assert [name for name in files_of(output_dir) if name.startswith("_etl_ray/staged")] == []
    assert strays_of(output_dir) == []
