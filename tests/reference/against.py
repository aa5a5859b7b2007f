"""Run the job and hold its output and its summary to the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from etl_ray.config import CHANNELS, JobConfig
from etl_ray.job import ETLJob
from etl_ray.summary import RunSummary
from etl_ray.tables import Numbers
from tests.reference.book_table import BookOptions
from tests.reference.checkpoints import assert_checkpoints
from tests.reference.compare import assert_equal, read_output
from tests.reference.messages import TABLE_OF
from tests.reference.run import Counts, Reference, reference

_TINY_PRIVATE = b'{"channel":"user"}\n'


@dataclass(frozen=True)
class Asked:
    """What a run is asked to do. Sizes in bytes; None leaves the config's own. Books may be `bare`, of levels alone."""

    numbers: Numbers = "float64"
    channels: tuple[str, ...] | None = None
    products: tuple[str, ...] | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    unit_bytes: int | None = None
    block_bytes: int | None = None
    rows_per_file: int | None = None
    max_line_bytes: int | None = None
    bare: bool = False

    def config(self) -> JobConfig:
        """Return the job's config for it."""
        channels: dict[str, dict[str, object]] = {
            name: {"enabled": self.channels is None or name in self.channels} for name in CHANNELS
        }
        channels["level2"]["processor_options"] = {"compute_features": not self.bare}
        sizes = {"unit_mb": self.unit_bytes, "block_mb": self.block_bytes, "max_line_mb": self.max_line_bytes}
        staging: dict[str, float] = {name: size / 1e6 for name, size in sizes.items() if size is not None}
        if self.rows_per_file is not None:
            staging["rows_per_file"] = self.rows_per_file
        range_ns = {name: ns for name, ns in (("start", self.start_ns), ("end", self.end_ns)) if ns is not None}
        data = {"engine": "local", "numbers": self.numbers, "products": self.products or (), **range_ns}
        return JobConfig.model_validate({**data, "channels": channels, "staging": staging})

    def truth(self, paths: Iterable[Path]) -> Reference:
        """Return what must come of it."""
        channels = None
        if self.channels is not None:
            wire = {name for name, table in TABLE_OF.items() if table in self.channels}
            channels = wire | ({"errors"} & set(self.channels))
        return reference(
            paths,
            channels=channels,
            products=self.products,
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            numbers=self.numbers,
            max_line_bytes=self.max_line_bytes or 16_000_000,
            book=BookOptions(wanted=None) if self.bare else BookOptions(),
        )


def run(input_path: Path, output_dir: Path, asked: Asked) -> RunSummary:
    """Run the job in-process."""
    return ETLJob(str(input_path), str(output_dir), config=asked.config()).process_all()


def run_and_compare(input_path: Path, output_dir: Path, asked: Asked) -> Counts:
    """Run the job; AssertionError if a row or a figure is not that of the reference. Return the true counts.

    Of bare books, which are asked for where there are many levels, checkpoints are not looked at.
    """
    summary = run(input_path, output_dir, asked)
    truth = asked.truth([input_path])
    assert_equal(read_output(output_dir, asked.numbers, tables=truth.schemas), truth)
    assert_summary(summary, truth)
    if not asked.bare:
        assert_checkpoints(output_dir, truth)
    return truth.counts


def assert_summary(summary: RunSummary, truth: Reference) -> None:
    """Raise AssertionError if a figure of a run's summary is not that of the reference."""
    found = summary.as_dict()
    expected = truth.counts.as_dict() | {"rows": {name: len(rows) for name, rows in truth.tables.items() if rows}}
    expected["rejects"] = expected.pop("rejected")
    rows = found["rows"]
    assert isinstance(rows, dict)
    found["rows"] = {name: count for name, count in rows.items() if count and name != "book_checkpoints"}
    differ = {name: (value, found[name]) for name, value in expected.items() if found[name] != value}
    assert not differ, "; ".join(f"{name}: expected {value}, found {had}" for name, (value, had) in differ.items())
    parts = ("accepted", "ignored", "out_of_range", "blank", "rejects")
    assert found["lines"] == sum(expected[name] for name in parts)  # type: ignore[misc]
    assert found["damaged"] == []


def pad(directory: Path, lines: int) -> None:
    """Add a first segment of as many valid lines, so that rejects are not more than half of the run."""
    (directory / "0_padding.ndjson").write_bytes(_TINY_PRIVATE * lines)


def table_files(output_dir: Path) -> dict[str, str]:
    """Return the hash of every file of the tables, by its path below `output_dir`."""
    files = {path.relative_to(output_dir): path for path in output_dir.rglob("*") if path.is_file()}
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(files.items())
        if name.parts[0] != "_etl_ray"
    }
