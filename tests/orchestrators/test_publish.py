"""How a commit becomes visible: what a reader sees who goes by no manifest, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from etl_ray import storage
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import files_of, places_of, strays_of, table_files_of

CUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.01, "rows_per_file": 100}}
RECUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.01, "rows_per_file": 160}}


class StoppedError(Exception):
    """Stands for the death of the process."""


@contextmanager
def stopped_before(step: int, monkeypatch: pytest.MonkeyPatch, *, of: tuple[str, ...]) -> Iterator[None]:
    """Let the process die before the storage does its `step`th of these functions, counted from 1."""
    left = step

    def counted(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **options: object) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise StoppedError
            function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in of:
            patch.setattr(storage, name, counted(getattr(storage, name)))
        yield


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
    # One probe of the storage, 33 deletions, 27 moves, the staging.
    for step in (2, 3, 35, 36, 62):
        output = tmp_path / str(step)
        run(sample_dir, output, **CUT)
        steps = ("move", "delete", "delete_tree")
        with stopped_before(step, monkeypatch, of=steps), pytest.raises(StoppedError):
            run(sample_dir, output, overwrite=True, **RECUT)
        assert table_files_of(output) != wanted or strays_of(output)
        assert run(sample_dir, output, **RECUT).unchanged
        assert table_files_of(output) == wanted
        assert strays_of(output) == []


def test_what_a_dead_first_run_left_is_replaced_like_a_committed_output(
    sample_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    with stopped_before(1, monkeypatch, of=("create_new",)), pytest.raises(StoppedError):
        run(sample_dir, output, **CUT)
    assert len(table_files_of(output)) == 35
    old = set(places_of(output, "level2"))

    def checked(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **options: object) -> None:
            visible = places_of(output, "level2")
            assert len(visible) == len(set(visible))
            assert set(visible) <= old
            function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("move", "delete", "create_new", "delete_tree"):
            patch.setattr(storage, name, checked(getattr(storage, name)))
        run(sample_dir, output, **RECUT)
    run(sample_dir, tmp_path / "undisturbed", **RECUT)
    assert table_files_of(output) == table_files_of(tmp_path / "undisturbed")
    assert strays_of(output) == []


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
    (output_dir / "level2" / ".keep").write_bytes(b"not ours")
    assert run(sample_dir, output_dir, **FEW).unchanged
    assert files_of(output_dir) == {**before, "level2/.keep": b"not ours"}
    assert not (output_dir / "_etl_ray" / "runs").exists()


def test_staging_elsewhere_is_cleared_too(
    sample_dir: Path, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {**FEW, "staging": {"url": str(tmp_path / "staging")}}
    with stopped_before(1, monkeypatch, of=("create_new",)), pytest.raises(StoppedError):
        run(sample_dir, output_dir, **elsewhere)
    assert any((tmp_path / "staging").rglob("*.parquet"))
    run(sample_dir, output_dir, **elsewhere)
    assert [path for path in (tmp_path / "staging").rglob("*") if path.is_file()] == []
    assert strays_of(output_dir) == []
