"""The pages are true: every command and every piece of code of README.md and the guides in docs/ runs as printed."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest
from typer.main import get_command

from etl_ray.cli import entry
from etl_ray.config import load_config
from etl_ray.tables import TABLES

ROOT = Path(__file__).resolve().parent.parent
RUN = ("README.md", "docs/library.md", "docs/operations.md", "docs/sizing.md")
"""Pages whose blocks run from top to bottom in an empty directory; those of one page share files and names."""
SLOW = ("README.md", "docs/library.md")
"""Those of them that have blocks which start a Ray cluster."""
READ = (
    *RUN,
    "docs/design.md",
    "docs/semantics.md",
    "docs/wire.md",
    "docs/performance.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
)
NOT_RUN = {"README.md": 3, "docs/operations.md": 2, "docs/sizing.md": 1}
"""How many blocks of a page may say that they are not run, each with its reason."""
LANGUAGES = ("bash", "python", "yaml", "text")
FLAGS = ("no-run", "slow")
OTHER_OPTIONS = {"--metrics-export-port", "--working-dir"}
"""Options of other programs that the pages mention."""
FROM_THE_SYSTEM = {"No space left on device"}
"""Parts of messages that the operating system words."""

_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: .+? -->\s*\Z", re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `output` is what the page says it prints, if it does; `reason` why it is not run."""

    place: str
    language: str
    flags: tuple[str, ...]
    code: str
    output: str | None
    has_reason: bool

    @property
    def file(self) -> str | None:
        """The name under which the page tells the reader to save the block."""
        return next((flag.removeprefix("file=") for flag in self.flags if flag.startswith("file=")), None)


def blocks_of(text: str, name: str) -> list[Block]:
    found = list(_BLOCK.finditer(text))
    blocks = []
    for match, after in zip_longest(found, found[1:]):
        language, *flags = match[1].split() or [""]
        told = after is not None and after[1].split() == ["text"] and not text[match.end() : after.start()].strip()
        blocks.append(
            Block(
                place=f"{name}:{text.count(chr(10), 0, match.start()) + 1}",
                language=language,
                flags=tuple(flags),
                code=match[2],
                output=after[2] if told and after is not None and language != "text" else None,
                has_reason=_REASON.search(text, 0, match.start()) is not None,
            )
        )
    return blocks


def page(name: str) -> list[Block]:
    return blocks_of((ROOT / name).read_text(), name)


def matches(told: str, printed: str) -> bool:
    """Compare line by line but for space at their ends; `...` stands for anything."""
    wanted, found = ("\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (told, printed))
    return re.fullmatch(".*?".join(re.escape(part) for part in wanted.split("...")), found, re.DOTALL) is not None


class Reader:
    """Somebody who types a page into a shell and a notebook that both stand in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # As in a notebook, so that Ray sends classes to its workers by value.
        self._names: dict[str, object] = {"__name__": "__main__"}
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def follow(self, block: Block) -> str:
        """Do what a block says; return what it prints."""
        if block.file is not None:
            (self._directory / block.file).write_text(block.code)
        if block.language == "yaml":
            path = self._directory / (block.file or "page.yaml")
            path.write_text(block.code)
            load_config(path)
        if block.file is not None or block.language in ("yaml", "text"):
            return ""
        return self._bash(block) if block.language == "bash" else self._python(block)

    def _bash(self, block: Block) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.code],
            check=False,
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{block.place}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _python(self, block: Block) -> str:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(block.code, block.place, "exec"), self._names)
        return printed.getvalue()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    yield Reader(tmp_path)
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def local_ray(reader: Reader) -> Iterator[None]:
    """Start a cluster of our own before a page asks for one, which might join a stranger's."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def follow_page(name: str, reader: Reader, *, slow: bool) -> None:
    for block in page(name):
        if "no-run" in block.flags or ("slow" in block.flags and not slow):
            continue
        printed = reader.follow(block)
        if block.output is not None:
            assert matches(block.output, printed), f"{block.place} prints\n{printed}\nand not\n{block.output}"


@pytest.mark.parametrize("name", RUN)
def test_a_page_runs_as_printed(name: str, reader: Reader) -> None:
    follow_page(name, reader, slow=False)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("name", SLOW)
def test_a_page_runs_as_printed_on_ray_too(name: str, reader: Reader) -> None:
    follow_page(name, reader, slow=True)


def test_blocks_say_what_they_are() -> None:
    blocks = [block for name in READ for block in page(name)]
    wrong_flags = [
        flag for block in blocks for flag in block.flags if flag not in FLAGS and not flag.startswith("file=")
    ]

    assert [block.place for block in blocks if block.language not in LANGUAGES] == []
    assert wrong_flags == []


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    not_run = [(name, block) for name in RUN for block in page(name) if "no-run" in block.flags]

    assert [block.place for _, block in not_run if not block.has_reason] == []
    assert {name: sum(found == name for found, _ in not_run) for name in NOT_RUN} == NOT_RUN
    assert {name for name, _ in not_run} == set(NOT_RUN)


def test_only_the_pages_that_are_run_have_something_to_run() -> None:
    runnable = {name for name in READ for block in page(name) if block.language in ("bash", "python")}

    assert runnable - set(RUN) == set()
    assert {name for name in READ for block in page(name) if "slow" in block.flags} == set(SLOW)


def test_links_lead_somewhere() -> None:
    broken = []
    for name in READ:
        path = ROOT / name
        for link in _LINK.findall(path.read_text()):
            target, _, anchor = link.partition("#")
            if "://" in target:
                continue
            linked = path.parent / target if target else path
            if not linked.exists() or (anchor and anchor not in anchors(linked.read_text())):
                broken.append(f"{name}: {link}")

    assert broken == []


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as they are made for Markdown on the web."""
    headings = _HEADING.findall(_BLOCK.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_lists_every_table_in_order() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert [name for name in listed if name in TABLES] == list(TABLES)


def test_messages_that_operations_explains_are_those_of_the_program() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "etl_ray").rglob("*.py")))
    joined = re.sub(r'"\s*f?"', "", source)  # a message that is cut over lines
    messages = re.findall(r"^\| `([^`]*[ :][^`]*)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    parts = {part.strip(" :") for message in messages for part in message.split("...")} - {"", *FROM_THE_SYSTEM}

    assert len(messages) > 10
    assert sorted(part for part in parts if part not in joined) == []


def test_figures_of_speed_are_those_of_the_benchmarks() -> None:
    """A row here: program, times plain, MB/s, peak MB; there CPU s and wall times stand among them."""
    shown = re.findall(r"^\| .+ \| ([\d.]+) \| (\d+) \| (\d+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    measured = re.findall(
        r"^\| .+? \| +([\d.]+) \|[^|]+\| +(\d+) \(.+ (\d+) \|$",
        (ROOT / "docs/performance.md").read_text(),
        re.MULTILINE,
    )

    assert len(shown) >= 4
    assert shown == measured[: len(shown)]


def test_options_that_pages_mention_exist_and_those_of_run_are_mentioned() -> None:
    commands = get_command(entry._app).commands  # type: ignore[attr-defined]
    known = {name: {text for item in command.params for text in item.opts} for name, command in commands.items()}
    negative = {text for command in commands.values() for item in command.params for text in item.secondary_opts}
    mentioned = {option for name in RUN for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", commands_in(ROOT / name))}

    assert mentioned - set().union(*known.values()) - negative - OTHER_OPTIONS == set()
    assert {option for option in known["run"] if option.startswith("--")} - mentioned == set()


def commands_in(path: Path) -> str:
    """Return the code spans of a page, and the lines of its blocks that call etl-ray."""
    text = path.read_text()
    lines = [line for block in page(str(path.relative_to(ROOT))) for line in block.code.splitlines()]
    return "\n".join(
        [*re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text)), *(line for line in lines if "etl-ray" in line)]
    )


@pytest.mark.parametrize(
    ("told", "printed", "same"),
    [
        ("a\nb\n", "a  \nb", True),
        ("a ... d\n", "a b\nc d\n", True),
        ("...\nd\n", "a\nb\nd\n", True),
        ("a.b\n", "axb\n", False),
        ("a ... c\n", "a b\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_output_is_compared_but_for_what_dots_stand_for(told: str, printed: str, same: bool) -> None:
    assert matches(told, printed) is same


def test_blocks_are_found_with_their_flags_reasons_and_outputs() -> None:
    text = (
        "Do:\n\n```bash\nls\n```\n\n```text\na\n```\n\n"
        "<!-- not run: it needs\na cluster -->\n```python no-run\n1\n```\n"
        "and\n```text\npicture\n```\n```python file=mine.py\n2\n```\n"
    )

    assert blocks_of(text, "page.md") == [
        Block("page.md:3", "bash", (), "ls\n", "a\n", has_reason=False),
        Block("page.md:7", "text", (), "a\n", None, has_reason=False),
        Block("page.md:13", "python", ("no-run",), "1\n", None, has_reason=True),
        Block("page.md:17", "text", (), "picture\n", None, has_reason=False),
        Block("page.md:20", "python", ("file=mine.py",), "2\n", None, has_reason=False),
    ]


@pytest.mark.parametrize("code", ["exit 3", "false | true"])
def test_a_command_that_fails_fails_the_page(code: str, tmp_path: Path) -> None:
    block = Block("page.md:1", "bash", (), code, None, has_reason=False)

    with pytest.raises(AssertionError, match=r"page\.md:1: exit code"):
        Reader(tmp_path).follow(block)


def test_blocks_of_a_page_share_names_and_files(reader: Reader) -> None:
    text = (
        "```python file=mine.py\nNAME = 'x'\n```\n```python\nfrom mine import NAME\n```\n"
        "```python\nprint(NAME)\n```\n```bash\ncat mine.py\n```\n"
    )

    assert [reader.follow(block) for block in blocks_of(text, "page.md")] == ["", "", "x\n", "NAME = 'x'\n"]
