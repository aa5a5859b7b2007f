"""A defect of the program is raised as it is, and says what it was working on."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_ray.orchestrators import final_files, normalize
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, strays_of


@pytest.mark.parametrize(
    ("module", "function", "named"),
    [
        (normalize, "sort_messages", "{recording}/segment_20251126T23_00001.ndjson, bytes 0 to 50,000"),
        (final_files, "writer_options", "level2/product_id=BTC-USD/date=2025-11-26, file 0"),
    ],
    ids=["normalize", "build"],
)
def test_a_defect_names_the_unit_it_shows_in(
    module: object,
    function: str,
    named: str,
    recording: Path,
    output_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError, match="a defect") as raised:
        patch.setattr(module, function, fail)
        run(recording, output_dir, **FEW, staging={"unit_mb": 0.05, "block_mb": 0.05})
    assert raised.value.__notes__ == [f"while working on {named.format(recording=recording)}"]
    assert not list(output_dir.glob(f"{OWN}/manifests/*"))
    run(recording, output_dir, **FEW, staging={"unit_mb": 0.05, "block_mb": 0.05})
    assert strays_of(output_dir) == []
