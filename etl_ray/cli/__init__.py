"""The command line, `etl-ray`: results on standard output, progress and complaints on standard error."""

from __future__ import annotations

from etl_ray.cli.entry import main, main_compact, main_reprocess, main_run

__all__ = ["main", "main_compact", "main_reprocess", "main_run"]
