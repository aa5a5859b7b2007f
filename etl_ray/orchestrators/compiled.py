"""Compiling all that a run needs before its clock starts; what is compiled is kept on disk for all later processes."""

from __future__ import annotations

import time

from etl_ray.book import warm as of_books
from etl_ray.coverage import warm as of_coverage
from etl_ray.orchestrators import compiled_files
from etl_ray.progress import Progress
from etl_ray.scan import warm as of_lines

_LINES = "compiling the scanner: some 10 seconds, once on this machine"
_LINES_AND_BOOKS = "compiling the scanner and the books: some 20 seconds, once on this machine"


def compile_all(*, books: bool, progress: Progress) -> float:
    """Compile the scanner, what follows a recording and, if it has `books`, what replays these; return the seconds.

    Where an earlier process has done that, it is only loaded.
    """
    parts = (of_lines, of_coverage, *((of_books,) if books else ()))
    started_s = time.monotonic()
    if not all(part.is_compiled() for part in parts):
        compiled_files.restore()
    is_new = not all(part.is_compiled() for part in parts)
    if is_new:
        progress.note(_LINES_AND_BOOKS if books else _LINES)
    for part in parts:
        part.warm_up()
    if is_new:
        compiled_files.keep()
    return time.monotonic() - started_s
