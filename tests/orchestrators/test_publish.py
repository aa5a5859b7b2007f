"""How a commit becomes visible: what a reader sees who goes by no manifest, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_ray import storage
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import places, rows_of

CUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.01, "rows_per_file": 100}}
RECUT: dict[str, object] = {**FEW, "staging": {"block_mb": 0.01, "rows_per_file": 160}}


def test_a_glob_never_sees_a_row_twice_while_files_are_replaced_by_others_of_another_cut(
    sample_dir: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sample_dir, output_dir, **CUT)
    old = set(places(rows_of(output_dir, "level2")))
    seen: list[int] = []

    def watched(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            function(*arguments)
            visible = places(rows_of(output_dir, "level2"))
            assert len(visible) == len(set(visible))
            assert set(visible) <= old
            seen.append(len(visible))

        return call

    with monkeypatch.context() as patch:
        for name in ("move", "delete"):
            patch.setattr(storage, name, watched(getattr(storage, name)))
        run(sample_dir, output_dir, **RECUT, overwrite=True)
    assert min(seen) < max(seen) == len(old)
    assert set(places(rows_of(output_dir, "level2"))) == old
