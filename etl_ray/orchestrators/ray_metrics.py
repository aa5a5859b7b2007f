"""What a run has done, as metrics of Ray, which the agent of the driver's node hands to Prometheus."""

from __future__ import annotations

from ray.util.metrics import Counter

from etl_ray.orchestrators.finished import Finished


class RayMetrics:
    """Counts in the driver, once per item that is finished: what a worker that died had begun is not in it."""

    def __init__(self) -> None:
        self._units = Counter("etl_ray_units", "Items of work that are finished.", ("stage",))
        self._bytes = Counter(
            "etl_ray_bytes", "Bytes of segments as stored, of their unpacked lines, of final files.", ("stage", "kind")
        )
        self._rows = Counter("etl_ray_rows", "Rows of final files.", ("stage", "table"))
        self._rejects = Counter("etl_ray_rejects", "Lines that were rejected.", ("stage",))

    def count(self, stage: str, item: Finished) -> None:
        """Count one item of a stage."""
        self._units.inc(1, {"stage": stage})
        found = {"stored": item.stored_bytes, "read": item.read_bytes, "written": item.written_bytes}
        for kind, bytes_ in found.items():
            if bytes_:
                self._bytes.inc(bytes_, {"stage": stage, "kind": kind})
        for table, rows in item.rows.items():
            if rows:
                self._rows.inc(rows, {"stage": stage, "table": table})
        if item.rejects:
            self._rejects.inc(item.rejects, {"stage": stage})
