"""What `verify` finds: each way in which an output can differ from its manifest, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import etl_ray
from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators import verify as verifying
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.messages import to_json
from etl_ray.orchestrators.receipts import BuiltFile
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, files_of

Change = Callable[[Path, BuiltFile], None]


@pytest.fixture
def output(recording: Path, tmp_path: Path) -> Path:
    run(recording, tmp_path / "output", **FEW)
    return tmp_path / "output"


def manifest_of(output: Path) -> Manifest:
    found = Ledger(str(output)).latest()
    assert found is not None
    return found


def rewrite(output: Path, manifest: Manifest) -> None:
    (output / OWN / "manifests" / f"{manifest.number:06d}.json").write_bytes(to_json(manifest))


def found_in(output: Path) -> list[tuple[str, str, str, str]]:
    return [(item.kind, item.path, item.expected, item.found) for item in etl_ray.verify(str(output)).differences]


def test_a_whole_output_has_no_difference(output: Path) -> None:
    before, manifest = files_of(output), manifest_of(output)

    found = etl_ray.verify(str(output))

    assert (found.differences, found.is_whole, found.number, found.run_id) == ((), True, 1, manifest.run_id)
    assert found.files == len(list(output.glob("[a-z]*/**/*.parquet"))) == len(manifest.files)
    assert found.bytes == sum(path.stat().st_size for path in output.glob("[a-z]*/**/*.parquet"))
    assert found.rows == sum(pq.ParquetFile(path).metadata.num_rows for path in output.glob("[a-z]*/**/*.parquet"))
    assert files_of(output) == before
    assert json.loads(json.dumps(found.as_dict())) == {
        **{"output": str(output), "number": 1, "run_id": manifest.run_id, "files": found.files},
        **{"bytes": found.bytes, "rows": found.rows, "is_whole": True, "differences": []},
    }


def first_file(output: Path) -> BuiltFile:
    return next(file for file in manifest_of(output).files if file.table == "level2")


def test_a_missing_file_is_named(output: Path) -> None:
    file = first_file(output)
    (output / file.path).unlink()
    assert found_in(output) == [("missing", file.path, f"{file.bytes:,} bytes", "no file")]


def test_a_changed_byte_is_found(output: Path) -> None:
    file = first_file(output)
    data = bytearray((output / file.path).read_bytes())
    data[len(data) // 3] ^= 8
    (output / file.path).write_bytes(data)
    ((kind, path, expected, found),) = found_in(output)
    assert (kind, path, expected) == ("checksum", file.path, f"SHA-256 {file.sha256}")
    assert len(found) == 64


def test_a_cut_file_is_found(output: Path) -> None:
    file = first_file(output)
    (output / file.path).write_bytes((output / file.path).read_bytes()[:1_000])
    size, unreadable = found_in(output)
    assert size == ("size", file.path, f"{file.bytes:,} bytes", "1,000 bytes")
    assert unreadable[:3] == ("unreadable", file.path, f"{file.rows:,} rows as Parquet")


def test_other_rows_are_found(output: Path) -> None:
    file = first_file(output)
    rows = pq.read_table(output / file.path, partitioning=None)
    pq.write_table(rows.slice(1), output / file.path)
    size = (output / file.path).stat().st_size
    assert found_in(output) == [
        ("size", file.path, f"{file.bytes:,} bytes", f"{size:,} bytes"),
        ("rows", file.path, f"{file.rows:,} rows", f"{file.rows - 1:,} rows"),
    ]


def test_rows_are_compared_with_the_manifest_though_the_file_is_the_same(output: Path) -> None:
    manifest, file = manifest_of(output), first_file(output)
    changed = tuple(replace(item, rows=item.rows + 1) if item == file else item for item in manifest.files)
    rewrite(output, replace(manifest, files=changed))
    assert found_in(output) == [("rows", file.path, f"{file.rows + 1:,} rows", f"{file.rows:,} rows")]


def test_a_stranger_in_a_table_is_found(output: Path) -> None:
    path = "ticker/product_id=BTC-USD/date=2025-11-26/stranger.parquet"
    (output / path).parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), output / path)
    (output / "mine").mkdir()
    pq.write_table(pa.table({"x": [1]}), output / "mine" / "other.parquet")  # of no table
    size = (output / path).stat().st_size
    assert found_in(output) == [("not listed", path, "no file", f"{size:,} bytes")]


def test_all_differences_are_named_in_order(output: Path) -> None:
    files = manifest_of(output).files
    for file in files[::2]:
        (output / file.path).unlink()
    assert [(kind, path) for kind, path, _, _ in found_in(output)] == [("missing", file.path) for file in files[::2]]


def test_files_are_given_to_the_threads_in_portions(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_AT_ONCE", 2)
    test_all_differences_are_named_in_order(output)


def test_lost_receipts_are_found(output: Path) -> None:
    (path,) = manifest_of(output).receipts
    (output / OWN / path).unlink()
    lost, none = found_in(output)
    assert lost[:3] == ("receipts", f"{OWN}/{path}", "the receipts of units")
    assert none[:3] == ("receipts", OWN, "receipts of 4 units")
    assert none[3].startswith("0 of them, none of segment_20251126T23_00001.ndjson")


@pytest.mark.parametrize("name", ["receipts", "results"])
def test_damaged_receipts_and_results_are_found(output: Path, name: str) -> None:
    manifest = manifest_of(output)
    path = manifest.receipts[0] if name == "receipts" else manifest.results
    assert path is not None
    (output / OWN / path).write_bytes(b"PAR1")
    first = found_in(output)[0]
    assert first[:2] == (name, f"{OWN}/{path}")
    assert "cannot be read as Parquet" in first[3]


def test_lost_results_are_found(output: Path) -> None:
    manifest = manifest_of(output)
    (output / OWN / str(manifest.results)).unlink()
    ((kind, path, _, _),) = found_in(output)
    assert (kind, path) == ("results", f"{OWN}/{manifest.results}")


@pytest.mark.parametrize(("accepted", "blank", "kinds"), [(-1, 1, ["counts"]), (1, 0, ["counts", "counts"])])
def test_the_account_of_lines_is_held_to_the_receipts_and_to_itself(
    output: Path, accepted: int, blank: int, kinds: list[str]
) -> None:
    manifest = manifest_of(output)
    counts = replace(manifest.counts, accepted=manifest.counts.accepted + accepted, blank=manifest.counts.blank + blank)
    rewrite(output, replace(manifest, counts=counts))
    found = found_in(output)
    assert [kind for kind, _, _, _ in found] == kinds
    assert found[0] == (
        "counts",
        f"{OWN}/manifests/000001.json",
        f"the sum of the receipts, {manifest.counts}",
        str(counts),
    )


def test_an_output_that_changes_meanwhile_is_said_so(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(_url: str) -> int:
        ledger = Ledger(str(output))
        if ledger.numbers() == [1]:
            ledger.commit(replace(manifest_of(output), number=2))
        return 0

    monkeypatch.setattr(verifying, "_rows", commit)
    with pytest.raises(StorageError, match=r"another run has changed .* while it was read; verify it again"):
        etl_ray.verify(str(output))


def test_nothing_committed_is_refused(tmp_path: Path) -> None:
    (tmp_path / OWN).mkdir()
    with pytest.raises(ConfigError, match="holds no committed run"):
        etl_ray.verify(str(tmp_path))
