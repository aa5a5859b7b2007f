"""Entry point for `ray job submit ... -- python -m jobs.compact OUTPUT`: the options of `etl-ray compact`."""

from __future__ import annotations

from etl_ray.cli import main_compact

if __name__ == "__main__":
    main_compact("python -m jobs.compact")
