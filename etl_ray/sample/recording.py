"""From options to segments: who connects when, and what one collector makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import merge

from etl_ray.sample.connection import Connection
from etl_ray.sample.draws import raw_draws
from etl_ray.sample.instruments import instrument
from etl_ray.sample.market import Market
from etl_ray.sample.options import SampleOptions, SampleReport
from etl_ray.sample.segments import SegmentWriter
from etl_ray.sample.shapes import Message, shape_of

_NS_PER_MS = 1_000_000
_BYTES_PER_MB = 1_000_000
_STAGGER_NS = 900 * _NS_PER_MS
_DEFAULT = SampleOptions()


def write_sample(
    out_dir: str,
    options: SampleOptions = _DEFAULT,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> SampleReport:
    """Write a recording to `out_dir` and report it; `on_progress` gets the unpacked bytes so far.

    Raise ConfigError for options that cannot be met and for a folder that is not empty (hidden files do not count),
    StorageError where writing fails. Only whole segments are left behind.
    """
    options.validate()
    counts: Counter[str] = Counter()
    segment_bytes = max(1, int(options.segment_mb * _BYTES_PER_MB))
    with SegmentWriter(
        out_dir, compress=options.compress, segment_bytes=segment_bytes, on_progress=on_progress
    ) as writer:
        for message in arrivals(options):
            line = shape_of(message.connection).line(message)
            writer.write(line, capture_ns=message.capture_ns)
            counts[message.channel] += 1
    return SampleReport(
        paths=tuple(writer.paths),
        bytes=writer.bytes,
        lines=counts.total(),
        messages=dict(sorted(counts.items())),
    )


def arrivals(options: SampleOptions) -> Iterator[Message]:
    """Yield all messages of a recording in the order in which its collector receives them.

    What a collector loses, repeats or reorders is a function from this iterator to another.
    """
    if options.overlap:
        connections = _simultaneous(options)
        return merge(*connections, key=lambda message: message.capture_ns)
    return _consecutive(options)


def _consecutive(options: SampleOptions) -> Iterator[Message]:
    markets = [_market(options, index) for index in range(len(options.products))]
    draws = raw_draws(options.seed, options.connections, 2)
    received_ns = 0
    for number in range(options.connections):
        start_ns = max(options.start_ns + options.duration_ns * number // options.connections, received_ns + _NS_PER_MS)
        end_ns = options.start_ns + options.duration_ns * (number + 1) // options.connections
        if number + 1 < options.connections:
            pause_ns = (300 + next(draws) % 900) * _NS_PER_MS
            end_ns -= min(pause_ns, (end_ns - start_ns) // 4)
        connection = Connection(number, markets, shape_of(number), seed=options.seed, start_ns=start_ns, end_ns=end_ns)
        for message in connection.messages():
            received_ns = message.capture_ns
            yield message


def _simultaneous(options: SampleOptions) -> list[Iterator[Message]]:
    end_ns = options.start_ns + options.duration_ns
    connections = []
    for number in range(options.connections):
        markets = [_market(options, index) for index in range(number, len(options.products), options.connections)]
        start_ns = options.start_ns + min(number * _STAGGER_NS, options.duration_ns // 4)
        connection = Connection(number, markets, shape_of(number), seed=options.seed, start_ns=start_ns, end_ns=end_ns)
        connections.append(connection.messages())
    return connections


def _market(options: SampleOptions, index: int) -> Market:
    return Market(
        instrument(options.products[index]),
        seed=options.seed,
        # The first product is the busiest: every further one has a thinner book.
        levels=max(10, options.levels // (1 + index)),
        rate_milli=round(options.rate * 1000),
        start_ns=options.start_ns,
    )
