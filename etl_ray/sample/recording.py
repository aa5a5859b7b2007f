"""From options to segments: who connects when, and what one collector makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import merge

from etl_ray.sample.connection import Connection
from etl_ray.sample.fault_log import FaultLog
from etl_ray.sample.fault_plan import plan_faults
from etl_ray.sample.fault_stage import FaultyCollector, Line
from etl_ray.sample.faults import Fault, save_faults
from etl_ray.sample.instruments import instrument
from etl_ray.sample.market import Market
from etl_ray.sample.options import SampleOptions, SampleReport
from etl_ray.sample.segments import SegmentWriter
from etl_ray.sample.sessions import Lane, plan_lanes
from etl_ray.sample.shapes import Message, shape_of

_BYTES_PER_MB = 1_000_000
_DEFAULT = SampleOptions()


def write_sample(
    out_dir: str,
    options: SampleOptions = _DEFAULT,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> SampleReport:
    """Write a recording to `out_dir` and report it; `on_progress` gets the unpacked bytes so far.

    With faults, `faults.json` beside the segments says what they are and what can be seen of each
    (`etl_ray.sample.faults` explains its fields); a job passes over it.
    Raise ConfigError for options that cannot be met and for a folder that is not empty (hidden files do not count),
    StorageError where writing fails. Only whole segments are left behind.
    """
    options.validate()
    counts: Counter[str] = Counter()
    faults: list[Fault] = []
    n_lines = 0
    segment_bytes = max(1, int(options.segment_mb * _BYTES_PER_MB))
    with SegmentWriter(
        out_dir, compress=options.compress, segment_bytes=segment_bytes, on_progress=on_progress
    ) as writer:
        if options.faults:
            n_lines, faults = _write_faulty(writer, options, counts)
        else:
            for message in arrivals(options):
                line = shape_of(message.connection).line(message)
                writer.write(line, capture_ns=message.capture_ns)
                counts[message.channel] += 1
    return SampleReport(
        paths=tuple(writer.paths),
        bytes=writer.bytes,
        lines=n_lines if options.faults else counts.total(),
        messages=dict(sorted(counts.items())),
        faults=dict(sorted(Counter(fault.kind for fault in faults).items())),
        faults_path=save_faults(out_dir, faults) if options.faults else None,
    )


def arrivals(options: SampleOptions) -> Iterator[Message]:
    """Yield all messages of a recording in the order in which they reach its collector.

    What the venue and its connections do wrong is done; what the collector makes of them is `faulty_lines`.
    """
    lanes = plan_faults(options).lanes if options.faults else plan_lanes(options)
    if len(lanes) == 1:
        return _arrivals(options, lanes[0])
    return merge(*(_arrivals(options, lane) for lane in lanes), key=lambda message: message.capture_ns)


def faulty_lines(options: SampleOptions, log: FaultLog) -> Iterator[Line]:
    """Yield the lines of a recording with faults; `log` has to be told of each before the next is taken."""
    return FaultyCollector(options, log.plan, log).lines(arrivals(options))


def _write_faulty(writer: SegmentWriter, options: SampleOptions, counts: Counter[str]) -> tuple[int, list[Fault]]:
    """Write a recording with faults; return the number of lines, garbage included, and the faults."""
    log = FaultLog(plan_faults(options))
    n_lines = 0
    for line in faulty_lines(options, log):
        writer.write(line.text, capture_ns=line.capture_ns)
        n_lines += 1
        if line.fault is not None:
            line.fault.show(writer.segment, writer.line)
        if line.message is not None:
            log.written(line.message, writer.segment, writer.line)
            counts[line.message.channel] += 1
        if line.is_cut:
            writer.cut()
    return n_lines, log.faults


def _arrivals(options: SampleOptions, lane: Lane) -> Iterator[Message]:
    markets = [_market(options, index) for index in lane.products]
    received_ns = 0
    for session in lane.sessions:
        start_ns, end_ns = session.span_ns(received_ns)
        if session.after_outage:
            for market in markets:
                market.advance(start_ns, is_unseen=True)
        connection = Connection(
            session.number,
            markets,
            shape_of(session.number),
            seed=options.seed,
            start_ns=start_ns,
            end_ns=end_ns,
            quirks=session.quirks,
        )
        for message in connection.messages():
            received_ns = message.capture_ns
            yield message


def _market(options: SampleOptions, index: int) -> Market:
    return Market(
        instrument(options.products[index]),
        seed=options.seed,
        # The first product is the busiest: every further one has a thinner book.
        levels=max(10, options.levels // (1 + index)),
        rate_milli=round(options.rate * 1000),
        start_ns=options.start_ns,
    )
