"""Entry point for `ray job submit ... -- python -m jobs.reprocess OUTPUT DEST`: the options of `etl-ray reprocess`."""

from __future__ import annotations

from etl_ray.cli import main_reprocess

if __name__ == "__main__":
    main_reprocess("python -m jobs.reprocess")
