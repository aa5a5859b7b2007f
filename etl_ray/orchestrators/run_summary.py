"""The figures of a run, from its manifest."""

from __future__ import annotations

from collections import Counter

from etl_ray.orchestrators.manifest import Manifest
from etl_ray.summary import RunSummary
from etl_ray.tables import TABLES


def summary_of(manifest: Manifest, output: str, *, seconds: float, unchanged: bool) -> RunSummary:
    """Return what a run has done that ended with `manifest`."""
    rows: Counter[str] = Counter()
    for file in manifest.files:
        rows[file.table] += file.rows
    counts = manifest.counts
    return RunSummary(
        lines=counts.lines,
        bytes=counts.bytes,
        seconds=seconds,
        rows={table: rows[table] for table in TABLES if rows[table]},
        messages=manifest.messages,
        accepted=counts.accepted,
        rejects=counts.rejects,
        ignored=counts.ignored,
        out_of_range=counts.out_of_range,
        blank=counts.blank,
        segments=len(manifest.inputs),
        damaged=manifest.damaged,
        slow_lines=counts.slow_lines,
        unknown_keys=counts.unknown_keys,
        findings=manifest.findings,
        output=output,
        run_id=manifest.run_id,
        unchanged=unchanged,
    )
