"""What machines and requests cost, and how fast a storage answers: nothing of it is known here but by example."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from etl_ray.config.sections import ConfigRefusedError, Section, Text
from etl_ray.config.text import line_of, read_yaml
from etl_ray.errors import ConfigError

NotNegative = Annotated[float, Field(ge=0)]


class Prices(Section):
    """Prices in `currency`, and what is assumed of machines and storage. The defaults are examples: set your own.

    `core_hour` is one core and its memory for an hour; reads, writes and lists are requests of a bucket, per 1000; all
    copies and uploads are writes, deletions are free. `request_ms` is how long a worker waits for an answer,
    `losses_per_hour` how often an hour each node is taken away.
    """

    currency: Text = "USD"
    core_hour: NotNegative = 0.04
    reads_per_1000: NotNegative = 0.0004
    writes_per_1000: NotNegative = 0.005
    lists_per_1000: NotNegative = 0.005
    request_ms: NotNegative = 30.0
    losses_per_hour: NotNegative = 0.05


def load_prices(path: str | Path) -> Prices:
    """Read a YAML file; every problem names file, line and key."""
    path = Path(path)
    data, lines = read_yaml(path)
    try:
        return Prices.model_validate({} if data is None else data)
    except ConfigRefusedError as refused:
        located = [(line_of(key, lines), message) for key, message in refused.problems]
        text = "; ".join(f"{path}:{line}: {message}" if line else f"{path}: {message}" for line, message in located)
        raise ConfigError(text) from None
