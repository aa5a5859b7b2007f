"""`ETLJob`: the whole job as one object, for notebooks and for the command line."""

from __future__ import annotations

from etl_ray.config import JobConfig
from etl_ray.progress import Progress, SilentProgress
from etl_ray.summary import CompactSummary, ReprocessSummary, RunSummary


class ETLJob:
    """Turn the recording in `input_dir` into the tables of `output_dir`.

    `input_dir` is a directory (searched recursively), a glob, a file or a URL; `output_dir` a directory or a URL.
    Errors are subclasses of `etl_ray.errors.EtlRayError`; nothing is committed then.
    """

    def __init__(
        self,
        input_dir: str,
        output_dir: str,
        *,
        config: JobConfig | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.input_dir = input_dir
        self.output_dir = output_dir
        self.config = config if config is not None else JobConfig()
        self._progress = progress if progress is not None else SilentProgress()

    def process_all(self) -> RunSummary:
        """Process the range of the config, which by default is everything."""
        from etl_ray.orchestrators.run import run_job

        return run_job(str(self.input_dir), str(self.output_dir), self.config, self._progress)

    def process_date_range(self, start: str | int, end: str | int) -> RunSummary:
        """Process messages with server times in [start, end): dates (00:00 UTC), RFC 3339 times or ns UTC."""
        config = self.config.merge({"start": start, "end": end})
        return ETLJob(self.input_dir, self.output_dir, config=config, progress=self._progress).process_all()


def reprocess(
    output_dir: str,
    dest_dir: str,
    *,
    config: JobConfig | None = None,
    books: bool = False,
    progress: Progress | None = None,
) -> ReprocessSummary:
    """Compute the derived tables that `config` asks for from the tables of a job's `output_dir` into `dest_dir`.

    With `books` also `book`, with the options of `level2`. ConfigError says what is missing for that.
    """
    from etl_ray.orchestrators.reprocess import reprocess as compute

    return compute(
        str(output_dir),
        str(dest_dir),
        config if config is not None else JobConfig(),
        progress if progress is not None else SilentProgress(),
        books=books,
    )


def compact(
    output_dir: str,
    *,
    target_mb: float = 256,
    config: JobConfig | None = None,
    progress: Progress | None = None,
) -> CompactSummary:
    """Merge small files of a job's `output_dir` that are of closed dates into files of up to about `target_mb`.

    Rows and their order stay. Of `config` engine, address, resources and break_lock count. ConfigError if nothing is
    committed.
    """
    from etl_ray.orchestrators.compact import compact as merge

    return merge(
        str(output_dir),
        config if config is not None else JobConfig(),
        progress if progress is not None else SilentProgress(),
        target_mb=target_mb,
    )
