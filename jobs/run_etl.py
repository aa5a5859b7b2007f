"""Entry point for `ray job submit ... -- python -m jobs.run_etl INPUT OUTPUT`: the options of `etl-ray run`."""

from __future__ import annotations

from etl_ray.cli import main_run

if __name__ == "__main__":
    main_run("python -m jobs.run_etl")
