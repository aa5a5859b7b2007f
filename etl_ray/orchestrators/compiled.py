"""Compiling all that a run needs before its clock starts; what is compiled is kept on disk for all later processes."""

from __future__ import annotations

import time

from etl_ray.book import warm as of_books
from etl_ray.coverage import warm as of_coverage
from etl_ray.progress import Progress
from etl_ray.scan import warm as of_lines


def compile_all(*, books: bool, progress: Progress) -> float:
    """Compile the scanner, what follows a recording and, if it has `books`, what replays these; return the seconds.

    Where an earlier process has done that, it is only loaded.
    """
    parts = (of_lines, of_coverage, *((of_books,) if books else ()))
    if not all(part.is_compiled() for part in parts):
        what = "the scanner and the books" if books else "the scanner"
        progress.note(f"compiling {what}: some {30 if books else 20} seconds, once on this machine")
    started_s = time.monotonic()
    for part in parts:
        part.warm_up()
    return time.monotonic() - started_s
