"""Samples that several tests look at, made once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from etl_ray.sample import SampleOptions, SampleReport, write_sample
from etl_ray.sample.options import FAULT_KINDS

from .faulty import SMALL, TWO_MINUTES, Faulty
from .faulty import record as record_faulty
from .strict import Line, read_lines


@dataclass(frozen=True)
class Recording:
    options: SampleOptions
    report: SampleReport
    lines: list[Line]

    def connections(self) -> list[list[Line]]:
        """Split consecutive connections: each begins with number 0."""
        connections: list[list[Line]] = []
        for line in self.lines:
            if line.message.get("sequence_num") == 0:
                connections.append([])
            connections[-1].append(line)
        return connections


def record(out_dir: str, options: SampleOptions) -> Recording:
    report = write_sample(out_dir, options)
    return Recording(options, report, read_lines(report.paths))


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Five connections, one in each shape, over midnight, in segments of 1 MB."""
    options = SampleOptions(
        minutes=2.5,
        products=("BTC-USD", "DOGE-USD", "PEPE-USD"),
        rate=12,
        connections=5,
        levels=400,
        segment_mb=1,
        start="2025-11-26T23:58:20Z",
    )
    return record(str(tmp_path_factory.mktemp("recording") / "out"), options)


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Short connections with far more messages, so that much is under way when they begin and end."""
    options = SampleOptions(minutes=0.1, products=("SOL-USD", "NEW-EUR"), rate=400, connections=4, levels=100)
    return record(str(tmp_path_factory.mktemp("busy") / "out"), options)


@pytest.fixture(params=["recording", "busy"])
def either(request: pytest.FixtureRequest) -> Recording:
    """Each of the two."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Recording)
    return found


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    """Two minutes of connections that follow each other, with all faults."""
    return record_faulty(tmp_path_factory.mktemp("faulty") / "out", TWO_MINUTES)


@pytest.fixture(scope="session")
def interleaved(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    """Half a minute of connections side by side, compressed, with all faults."""
    options = replace(SMALL, overlap=True, compress="gz", faults=FAULT_KINDS)
    return record_faulty(tmp_path_factory.mktemp("interleaved") / "out", options)
