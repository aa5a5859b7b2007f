"""`SegmentPipeline`: named segments to all channels' tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etl_ray.config import ChannelConfig, JobConfig
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.run import run_segments
from etl_ray.progress import Progress, SilentProgress


class SegmentPipeline:
    """Write the tables of chosen channels to `output_dir`.

    `channel_config` maps channels to their config, as under `channels` in YAML; channels that it does not name are
    left out. Without it all are written. `config` holds everything else.
    """

    def __init__(
        self,
        output_dir: str,
        channel_config: Mapping[str, ChannelConfig | Mapping[str, object]] | None = None,
        *,
        config: JobConfig | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._output_dir = str(output_dir)
        config = config if config is not None else JobConfig()
        if channel_config is not None:
            left_out = {name: {"enabled": False} for name in config.channels if name not in channel_config}
            named = {
                name: item.model_dump(exclude_unset=True) if isinstance(item, ChannelConfig) else item
                for name, item in channel_config.items()
            }
            config = config.merge({"channels": {**left_out, **named}})
        self._config = config
        self._progress = progress if progress is not None else SilentProgress()

    def process(self, paths: Sequence[str]) -> tuple[Receipt, ...]:
        """Process segments (files, directories, globs or URLs); return what became of each unit, in arrival order.

        Errors and reruns are those of a job: what is done already is not done again.
        """
        return run_segments([str(path) for path in paths], self._output_dir, self._config, self._progress).receipts
