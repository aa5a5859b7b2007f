"""Products whose names are hostile to paths: each has a directory of its own below OUTPUT that leads back to it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.bad_input.recordings import good, reasons, run
from tests.orchestrators.outputs import places_of, strays_of

SEGMENT = "segment_20251126T14_00001.ndjson"
TABLES = ("book", "level2")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
HOSTILE = {
    "parent": "..",
    "here": ".",
    "up": "../x",
    "up from within": "A/../../../../x",
    "absolute": "/etc/passwd",
    "slash": "A/B",
    "slash at the end": "A/",
    "backslash": "..\\x",
    "drive": "C:\\x",
    "percent": "%",
    "percent-encoded": "%2E%2E%2Fx",
    "null byte": "A\0B",
    "line end": "A\nB",
    "space": " ",
    "hidden": ".A",
    "home": "~",
    "equals": "product_id=A",
    "star": "*",
    "quotes": "\"'`$(x)",
    "unicode": "é漢字😀\u202e",
    "decomposed": "E\u0301",
    "composed": "\u00c9",
    "capitals": "BTC-USD",
    "small letters": "btc-usd",
    "mixed": "Btc-Usd",
    "encoded small letters": "%62%74%63-%75%73%64",
    "sharp s": "ß",
    "double s": "SS",
    "dotless i": "ı",
    "null of Hive": HIVE_NULL,
    "null of others": "null",
    "no value": "None",
    "digits": "007",
    "device": "CON",
    "the longest": "A" * 200,
    "the longest, encoded": "é" * 33 + "AA",
}
PRODUCTS = dict(enumerate(HOSTILE.values(), 1))
"""The products by their line."""
TOO_LONG = {"201 bytes": "A" * 201, "300 characters": "A" * 300, "encoded": "é" * 34, "long path": "../" * 100}


def message(number: int, product: str) -> bytes:
    """Return a valid line of a product, some written with escapes."""
    return good(number).replace(b'"BTC-USD"', json.dumps(product, ensure_ascii=number % 2 == 0).encode())


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an OUTPUT that holds a line of each hostile product, with nothing but INPUT beside it."""
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "input").mkdir()
    lines = [message(number, product) for number, product in PRODUCTS.items()]
    (directory / "input" / SEGMENT).write_bytes(b"\n".join(lines))
    assert run(directory / "input", directory / "output").accepted == len(HOSTILE)
    return directory / "output"


def directory_of(output: Path, line: int) -> str:
    """Return the only directory that holds rows of a line, which lies in the level below each table."""
    holding = [
        path.relative_to(output).parts
        for table in TABLES
        for path in (output / table).rglob("*.parquet")
        if line in pq.read_table(path, columns=["line"], partitioning=None)["line"].to_pylist()
    ]
    ((_, product, _, _), _) = holding
    assert [parts[:-1] for parts in holding] == [(table, product, "date=2025-11-26") for table in TABLES]
    assert all(re.fullmatch(r"part-00000-[0-9a-f]{12}\.parquet", parts[-1]) for parts in holding)
    return product


def test_coverage_names_them_all(output: Path) -> None:
    found = pq.read_table(output / "coverage")
    assert {*found["product_id"].to_pylist()} == {*PRODUCTS.values()}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_product_is_read_back_from_its_directory(name: str, output: Path) -> None:
    product = HOSTILE[name]
    line = list(HOSTILE).index(name) + 1
    directory = directory_of(output, line)
    assert unquote(directory.removeprefix("product_id=")) == product
    assert len(directory) <= len("product_id=") + 200
    for table in TABLES:
        (file,) = (output / table / directory).rglob("*.parquet")
        assert pq.read_table(file, partitioning=None)["product_id"].to_pylist() == [product]


def test_readers_that_take_products_from_directories_find_them_all(output: Path) -> None:
    # PyArrow decodes before it looks for the word for null: of that one product it takes the name for null.
    table = pq.read_table(output / "level2", columns=["line", "product_id"])
    found = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert found == {line: None if product == HIVE_NULL else product for line, product in PRODUCTS.items()}
    files = f"{output}/level2/**/*.parquet"
    rows = duckdb.sql(f"select line, product_id from read_parquet('{files}', hive_partitioning = true)").fetchall()
    assert dict(rows) == PRODUCTS


def test_no_two_products_share_a_directory_where_case_is_ignored(output: Path) -> None:
    names = [path.name for path in (output / "level2").iterdir()]
    assert len({name.casefold() for name in names}) == len(names) == len(HOSTILE)
    assert all(name.isascii() and name.isprintable() for name in names)
    assert {"product_id=%2E", "product_id=%2E%2E"} < set(names)


def test_nothing_is_written_outside_output(output: Path) -> None:
    beside = [str(path.relative_to(output.parent)) for path in output.parent.rglob("*") if path.is_file()]
    below = [name for name in beside if name.startswith(("output/level2/product_id=", "output/book/product_id="))]
    assert len(below) == len(TABLES) * len(HOSTILE)
    assert len(HOSTILE) == len(places_of(output, "level2"))
    assert strays_of(output) == []
    others = sorted(set(beside) - set(below))
    pieces = [name for name in others if name.startswith("output/_etl_ray/staged/")]
    composed = [name.rpartition("/composed/")[2] for name in pieces if "/composed/" in name]
    assert len(composed) == 2 * len(HOSTILE)
    assert all(re.fullmatch(r"[0-9a-f]{16}(\.[0-9a-f]{16}\.arrow|\.json)", name) for name in composed)
    of_units = [name for name in pieces if "/composed/" not in name]
    assert [str(Path(name).parent.relative_to("output/_etl_ray/staged/000001")) for name in of_units] == [
        "book/deltas",
        "book/index",
        "book/operations",
        "numbered",
        "rows",
    ]
    assert {Path(name).name.rpartition("-")[0] for name in of_units} == {
        f"{SEGMENT}-{hashlib.sha256(SEGMENT.encode()).hexdigest()[:12]}"
    }
    assert [re.sub(r"-[0-9a-f]{12}\.parquet", "", name) for name in others if name not in pieces] == [
        f"input/{SEGMENT}",
        "output/_etl_ray/lock",
        "output/_etl_ray/manifests/000001.json",
        "output/_etl_ray/receipts/000001",
        "output/_etl_ray/results/000001",
        "output/connections/part-00000",
        "output/coverage/date=2025-11-26/part-00000",
    ]


@pytest.mark.parametrize("product", TOO_LONG.values(), ids=TOO_LONG)
def test_a_name_that_no_path_can_hold(product: str, input_dir: Path, output_dir: Path) -> None:
    (input_dir / SEGMENT).write_bytes(good(1) + b"\n" + message(3, product) + b"\n" + good(5))
    assert run(input_dir, output_dir).accepted == 2
    shown = repr(product) if len(repr(product)) <= 60 else f"{repr(product)[:57]}..."
    assert reasons(output_dir) == [
        (
            SEGMENT,
            2,
            len(good(1)) + 1,
            f"events[0].product_id: expected a product id of at most 200 bytes when percent-encoded, found {shown}",
        )
    ]
    assert [path.name for path in (output_dir / "level2").iterdir()] == ["product_id=BTC-USD"]


@pytest.mark.parametrize("product", ["", None, "\ud800"])
def test_a_name_that_is_none(product: str | None, input_dir: Path, output_dir: Path) -> None:
    (input_dir / SEGMENT).write_bytes(good(1) + b"\n" + message(2, "?").replace(b'"?"', json.dumps(product).encode()))
    assert run(input_dir, output_dir).accepted == 1
    ((_, line, _, reason),) = reasons(output_dir)
    assert line == 2
    found = {
        "": 'events[0].product_id: expected a value, found ""',
        None: "events[0].product_id: expected a value, found nothing",
    }
    assert str(reason).startswith(found.get(product, "not JSON: "))
