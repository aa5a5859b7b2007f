"""A job that does nothing, and what a command leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from etl_ray.config import JobConfig
from etl_ray.progress import Progress
from etl_ray.summary import RunSummary

SUMMARY = RunSummary(
    lines=82_460,
    bytes=48_123_456,
    seconds=0.84,
    rows={"level2": 1_296_312, "market_trades": 34_418, "candles": 0, "heartbeats": 651, "rejects": 2},
    messages={"l2_data": 12_963, "market_trades": 34_418, "heartbeats": 651, "user": 5},
    accepted=82_450,
    rejects=2,
    ignored=5,
    out_of_range=1,
    blank=2,
    segments=4,
    damaged=(),
    slow_lines=83,
    unknown_keys=17,
    findings=(),
    output="OUT",
    run_id="20261123T081500-1a2b3c4d",
    unchanged=False,
    segments_read=4,
)


@dataclass
class FakeJobs:
    """Stands in for `etl_ray.job`: keeps how jobs were made, and ends them as it is told."""

    summary: RunSummary = SUMMARY
    error: BaseException | None = None
    made: list[tuple[str, str]] = field(default_factory=list)
    configs: list[JobConfig] = field(default_factory=list)
    progresses: list[Progress] = field(default_factory=list)
    write: Callable[[Path], None] | None = None

    @property
    def config(self) -> JobConfig:
        """Return the config of the only job."""
        (config,) = self.configs
        return config

    def job_class(self) -> type:
        """Return the class that the command line will instantiate."""
        jobs = self

        class ETLJob:
            def __init__(
                self,
                input_dir: str,
                output_dir: str,
                *,
                config: JobConfig | None = None,
                progress: Progress | None = None,
            ) -> None:
                assert config is not None
                assert progress is not None
                jobs.made.append((input_dir, output_dir))
                jobs.configs.append(config)
                jobs.progresses.append(progress)
                self.output, self.progress = output_dir, progress

            def process_all(self) -> RunSummary:
                self.progress.stage("normalize", 48_000_000, 4)
                self.progress.advance(48_000_000, 4)
                if jobs.error is not None:
                    raise jobs.error
                if jobs.write is not None:
                    jobs.write(Path(self.output))
                self.progress.done()
                return replace(jobs.summary, output=self.output)

        return ETLJob


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


DAMAGE = "a.gz: damaged after 9 unpacked bytes: cut"


Execute = Callable[..., Outcome]
"""What runs a command with its arguments."""
