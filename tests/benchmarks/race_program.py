"""A program that races sides: options, inputs, races on each codec and number of cores, a report."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.environments import environment
from tests.benchmarks.inputs import CODECS, Input, make_input, with_codec
from tests.benchmarks.output_sizes import OutputSize, output_size, size_table
from tests.benchmarks.race import Conditions, Raced, Side, Track
from tests.benchmarks.section import Ratio, Section, add_output_options, finish


@dataclass(frozen=True)
class RaceProgram:
    """What a program races: modules of `package`. `ours` are this project's sides, by what they are called in ratios.

    `goals`: how many times as fast the first side of a pair is meant to be as the second, on one core. `reference` is
    the side whose rows are taken for right, `spark` the one that needs Java and an environment of its own.
    """

    doc: str | None
    title: str
    package: str
    sides: Mapping[str, Side]
    ours: Mapping[str, str]
    goals: Mapping[tuple[str, str], float]
    reference: str
    spark: str


def run_program(program: RaceProgram) -> int:
    """Measure, compare rows, print a report; return the exit code."""
    arguments = _arguments(program)
    wanted, left_out = list(arguments.sides), []
    pythons = {}
    if program.spark in wanted:
        spark = environment("spark", arguments.peers_venv)
        if spark.python is None:
            wanted.remove(program.spark)
            left_out.append(spark.reason)
        else:
            pythons[program.spark] = spark.python
    sizes: dict[str, OutputSize] = {}
    observe = _keep_sizes(sizes) if program.package == "sides" else _ignore
    with tempfile.TemporaryDirectory(prefix="etl-ray-bench-", dir=arguments.work) as work:
        source = make_input(arguments.input, arguments.mb, Path(work))
        track = Track(program.package, program.sides, Path(work), arguments.runs, pythons, observe)
        try:
            raced = _races(program, track, source, wanted, arguments=arguments)
        finally:
            track.close()
    return finish(_section(program, source, raced, sizes, left_out=left_out), arguments)


def _arguments(program: RaceProgram) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=program.doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of recorded segments; without it they are generated")
    parser.add_argument("--mb", type=float, default=100.0, help="size of the generated input in MB (100)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--sides", type=_names(program.sides), default=list(program.sides), help="only these, in order")
    parser.add_argument("--codecs", type=_names(CODECS), default=["raw"], help="raw, gz, zst; on all cores raw (raw)")
    parser.add_argument("--cores", type=_names(("one", "all")), default=["one"], help="one, all or both (one)")
    parser.add_argument("--peers-venv", type=Path, help="folder of the peers' environments; made if absent")
    parser.add_argument("--work", type=Path, help="folder for input and outputs (the system's temporary one)")
    add_output_options(parser)
    return parser.parse_args()


def _names(known: Sequence[str] | Mapping[str, object]) -> Callable[[str], list[str]]:
    """Return what reads names of `known`, with commas between them."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return read


def _keep_sizes(sizes: dict[str, OutputSize]) -> Callable[[str, str], None]:
    def keep(side: str, output: str) -> None:
        sizes.setdefault(side, output_size(output))

    return keep


def _ignore(side: str, output: str) -> None:
    """Keep nothing of what a side has left."""


def _races(
    program: RaceProgram, track: Track, source: Input, wanted: Sequence[str], *, arguments: argparse.Namespace
) -> list[Raced]:
    found = []
    for cores in arguments.cores:
        sides = [side for side in wanted if cores == "all" or not program.sides[side].all_cores_only]
        reference = program.reference if program.reference in sides else sides[0]
        for codec in arguments.codecs if cores == "one" else ["raw"]:
            segments = with_codec(source.segments, codec, track.work / "packed" / codec)
            conditions = Conditions(source.source, codec, cores, source.mb)
            found.append(track.race(segments, conditions, sides, reference=reference))
    return found


def _section(
    program: RaceProgram,
    source: Input,
    raced: Sequence[Raced],
    sizes: Mapping[str, OutputSize],
    *,
    left_out: Sequence[str],
) -> Section:
    wrong, failed, parts = [], [], []
    for race in raced:
        differences, failures = race.told(program.sides)
        wrong += differences
        failed += failures
        rows = ", ".join(f"{name} {count:,}" for name, count in race.rows.items())
        same = "not the same from all, see below" if differences else "the same from all, by count and checksums"
        parts.append(f"**{race.conditions.title}.** Rows: {rows}; {same}.\n\n{race.table(program.sides)}")
    if sizes:
        parts.append(f"What they wrote:\n\n{size_table(sizes, program.sides)}")
    return Section(
        title=f"{program.title}: {source.source}, {source.mb:.1f} MB in {len(source.segments)} segments",
        ratios=[ratio for race in raced for ratio in _ratios(program, race)],
        text="\n\n".join(parts),
        figures={
            "mb": source.mb,
            "races": [asdict(race) for race in raced],
            "sizes": {side: asdict(size) for side, size in sizes.items()},
        },
        differences=wrong,
        failures=failed,
        left_out=left_out,
    )


def _ratios(program: RaceProgram, race: Raced) -> list[Ratio]:
    """Return how many times as fast each side of this project is as each other one."""
    return [
        Ratio(
            f"{what}: {race.conditions.title}",
            program.sides[other].short_name,
            race.times(side, other),
            program.goals.get((side, other)) if race.conditions.cores == "one" else None,
        )
        for side, what in program.ours.items()
        if side in race.runs
        for other in race.runs
        if other not in program.ours
    ]
