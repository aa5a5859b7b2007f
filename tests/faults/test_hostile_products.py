"""Products whose names lead elsewhere, in all channels and all tables: each stays in its own directory below OUTPUT.

Which names have which directory is tested in tests/bad_input/test_products.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from etl_ray.job import compact, reprocess
from tests.faults.recordings import EVERYTHING
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import partitions_of, strays_of

pytestmark = pytest.mark.slow

NAMES = [
    pytest.param(("../../../stolen", "/stolen"), id="up"),
    pytest.param(("..", "product_id=ETH-USD/../../x"), id="dots", marks=pytest.mark.slow),
    pytest.param(("a\\..\\b\0", "BTC-USD\n/.."), id="control", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("names", NAMES)
def test_no_table_has_a_file_elsewhere(
    names: tuple[str, str], tiny_segments: list[Path], undisturbed: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "input").mkdir(parents=True)
    wanted = partitions_of(undisturbed)
    written = {"BTC-USD": names[0], "ETH-USD": names[1]}
    for segment in tiny_segments:
        data = segment.read_bytes()
        for product, name in written.items():
            data = data.replace(json.dumps(product).encode(), json.dumps(name).encode())
        (root / "input" / segment.name).write_bytes(data)
    late = root / "input" / tiny_segments[-1].name
    late.rename(tmp_path / "late")
    run(root / "input", root / "output", **EVERYTHING)
    (tmp_path / "late").rename(late)
    run(root / "input", root / "output", **EVERYTHING)
    compact(str(root / "output"), config=config())
    reprocess(str(root / "output"), str(root / "derived"), config=config(derived={"bars": ["1s"]}))

    found = partitions_of(root / "output")
    renamed = {
        name.replace(f"product_id={product}", f"product_id={written[product]}")
        for name in wanted
        for product in written
        if f"product_id={product}" in name or "product_id=" not in name
    }
    assert all(part.isascii() and part.isprintable() for part in found)
    assert {len(name.split("/")) for name in found} == {len(name.split("/")) for name in wanted}
    assert {unquote(name) for name in found} == renamed
    assert sorted(path.name for path in root.iterdir()) == ["derived", "input", "output"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]
    assert {path.name for path in (root / "derived").iterdir()} == {"_etl_ray", "bars"}
    assert strays_of(root / "output") == []
    assert not Path("/stolen").exists()
