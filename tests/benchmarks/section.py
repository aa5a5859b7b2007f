"""What a benchmark has found: ratios first, then tables, and what went wrong; as Markdown and as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.report import table, versions


@dataclass(frozen=True)
class Ratio:
    """How many times as good this project is as something else; `goal` is what it is meant to be, if that was said."""

    what: str
    against: str
    value: float
    goal: float | None = None


@dataclass(frozen=True)
class Section:
    """The result of one benchmark.

    `differences` are wrong results, `failures` sides that ended with an error, `left_out` what was not measured, each
    with a reason.
    """

    title: str
    ratios: Sequence[Ratio]
    text: str
    figures: Mapping[str, object]
    differences: Sequence[str] = ()
    failures: Sequence[str] = ()
    left_out: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=versions)

    @property
    def exit_code(self) -> int:
        """Return 1 if a result is wrong."""
        return 1 if self.differences else 0

    def markdown(self, level: int = 3) -> str:
        """Return the section as Markdown below a heading of `level`."""
        parts = [f"{'#' * level} {self.title}"]
        if self.ratios:
            parts.append(ratio_table(self.ratios))
        parts.append(self.text)
        for heading, lines in (
            ("**Wrong:**", self.differences),
            ("Failed:", self.failures),
            ("Left out:", self.left_out),
        ):
            if lines:
                parts.append("\n".join((heading, "", *(f"- {line}" for line in lines))))
        return "\n\n".join(part for part in parts if part)


def goal_table(ratios: Sequence[Ratio]) -> str:
    """Return the ratios that have a goal, with what was reached."""
    rows = [
        (
            ratio.what,
            ratio.against,
            f"{ratio.value:.2f}",
            f"{ratio.goal:g}",
            "yes" if ratio.value >= ratio.goal else "no",
        )
        for ratio in ratios
        if ratio.goal is not None
    ]
    return table(("this project's", "against", "times", "goal", "reached"), rows)


def ratio_table(ratios: Sequence[Ratio]) -> str:
    """Return ratios with a line for each thing and a column for each of what it is held against."""
    against = list(dict.fromkeys(ratio.against for ratio in ratios))
    lines: dict[str, dict[str, str]] = {}
    for ratio in ratios:
        lines.setdefault(ratio.what, {})[ratio.against] = f"{ratio.value:.2f}"
    rows = [(what, *(found.get(name, "") for name in against)) for what, found in lines.items()]
    return table(("times as good as", *against), rows)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a section goes."""
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--markdown", type=Path, help="file for the report")


def finish(section: Section, arguments: argparse.Namespace) -> int:
    """Print a section, write it where the options say, return the exit code."""
    text = section.markdown()
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(section), indent=1) + "\n")
    return section.exit_code


def read_section(path: Path) -> Section:
    """Return a section that `finish` has written."""
    stored = json.loads(path.read_text())
    return Section(**{**stored, "ratios": [Ratio(**ratio) for ratio in stored["ratios"]]})
