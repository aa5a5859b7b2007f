"""Shell commands in files and pages, and whether what they call exists: programs, modules, options, files, extras."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import click
import ray.scripts.scripts
import typer
from packaging.requirements import InvalidRequirement, Requirement
from typer.main import get_command

from etl_ray.cli import entry
from tests.cluster.repository import ROOT, extras

Places = Mapping[str, str]
"""Where parts of the repository are on a node, and what they are here."""

JOBS = {"jobs.run_etl": entry._run_app, "jobs.compact": entry._compact_app, "jobs.reprocess": entry._reprocess_app}
OTHER_PROGRAMS = {
    *("apt-get", "aws", "break", "cd", "chmod", "cloud-init", "docker", "done", "echo", "export", "for", "gcloud"),
    *("grep", "install", "kubectl", "ln", "rm", "sleep", "test", "true", "ulimit", "useradd"),
}
"""What the files call besides Python, pip, Ray and etl-ray."""
PIP_OPTIONS = {"--quiet", "--no-cache-dir", "--no-deps", "--force-reinstall"}
_KEYWORDS = {"do", "then", "else", "if", "!", "{", "(", "until", "while", "sudo"}
_HELP = {"--help", "-h", "--version"}


def commands_of_comments(text: str) -> str:
    """Return the commands in a file's comments: the lines that are indented by five or more."""
    found = re.findall(r"^\s*# {5,}(\S.*)$", text, re.MULTILINE)
    return "\n".join(found)


def simple_commands(script: str) -> Iterator[list[str]]:
    """Yield the words of each command of a script, without variables before it and files behind it."""
    for line in re.sub(r"\\\n\s*", " ", script).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if set(token) <= set(";|&"):
                yield from _bare(words)
                words = []
            else:
                words.append(token)


def _bare(words: list[str]) -> Iterator[list[str]]:
    rest = list(words)
    while rest and (rest[0] in _KEYWORDS or re.match(r"\w+=", rest[0])):
        rest = rest[1:]
    for place, word in enumerate(rest):
        if set(word) <= set("<>&"):
            rest = rest[: place - 1] if rest[place - 1].isdigit() else rest[:place]
            break
    if rest:
        yield rest


def complaints(script: str, *, places: Places) -> list[str]:
    """Return what is wrong with the commands of a script."""
    return [text for words in simple_commands(script) for text in _about(words, places)]


def _about(words: Sequence[str], places: Places) -> list[str]:
    program, rest = PurePosixPath(words[0]).name, list(words[1:])
    if program == "etl-ray":
        return _about_etl_ray(rest, places)
    if re.fullmatch(r"python[\d.]*", program):
        return _about_python(rest, places)
    if program == "pip":
        return _about_pip(rest)
    if program == "ray":
        return _about_ray(rest, places)
    if program not in OTHER_PROGRAMS:
        return [f"no program {program!r} is expected"]
    if program == "docker" and "run" in rest:
        inside = next(place for place, word in enumerate(rest) if "/etl-ray:" in word)
        return _about(rest[inside + 1 :], {})
    flag = "-f" if program in ("docker", "kubectl") else None
    files = [rest[place + 1] for place, word in enumerate(rest) if word == flag]
    return [text for name in files for text in _missing(name)]


def _missing(name: str) -> list[str]:
    return [] if (ROOT / name).exists() else [f"no file {name!r} in the repository"]


def _about_etl_ray(rest: list[str], places: Places) -> list[str]:
    group = get_command(entry._app)
    if not set(rest) - _HELP:
        return []
    command = group.commands.get(rest[0])  # type: ignore[attr-defined]
    return [f"etl-ray has no command {rest[0]!r}"] if command is None else _parsed(command, rest, places)


def _parsed(command: typer.core.TyperCommand, rest: list[str], places: Places) -> list[str]:
    try:
        given = command.make_context(rest[0], [_here(word, places) for word in rest[1:] if word not in _HELP]).params
    except typer.TyperException as error:
        return [f"{rest[0]}: {error.format_message()}"]
    return _missing(str(given["config"])) if given.get("config") else []


def _here(word: str, places: Places) -> str:
    """Return the path in the repository of what `word` names on a node."""
    for there, here in places.items():
        if word == there or word.startswith(f"{there}/"):
            return str(ROOT / (here + word.removeprefix(there)))
    return word


def _about_python(rest: list[str], places: Places) -> list[str]:
    if rest[:1] != ["-m"]:
        return [f"python: expected -m, found {rest[:1]}"]
    if rest[1] in JOBS:
        return _parsed(get_command(JOBS[rest[1]]), rest[1:], places)  # type: ignore[arg-type]
    known = not rest[1].startswith("jobs") and importlib.util.find_spec(rest[1]) is not None
    return [] if known else [f"no module {rest[1]!r} to run"]


def _about_pip(rest: list[str]) -> list[str]:
    if rest[0] != "install":
        return [f"pip {rest[0]}: expected install"]
    found: list[str] = []
    words = iter(rest[1:])
    for word in words:
        if word == "-c":
            found += _missing(PurePosixPath(next(words)).name)
        elif word.startswith("-"):
            found += [] if word in PIP_OPTIONS else [f"pip install {word}: not expected"]
        elif word.startswith("."):
            unknown = set(re.split(r"[\[\],]", word)) - {"", "."} - extras()
            found += [f"no extra {name!r} in pyproject.toml" for name in sorted(unknown)]
        else:
            found += _about_requirement(word, is_constrained="-c" in rest)
    return found


def _about_requirement(word: str, *, is_constrained: bool) -> list[str]:
    try:
        requirement = Requirement(word)
    except InvalidRequirement as error:
        return [f"pip install {word}: {error}"]
    pins = (ROOT / "constraints.txt").read_text().split()
    is_pinned = is_constrained and any(line.startswith(f"{requirement.name}==") for line in pins)
    return [] if is_pinned or "==" in str(requirement.specifier) else [f"pip install {word}: no version is pinned"]


def _about_ray(rest: list[str], places: Places) -> list[str]:
    command: click.Command = ray.scripts.scripts.cli
    while isinstance(command, click.Group) and rest:
        name, *rest = rest
        found = command.get_command(click.Context(command), name)
        if found is None:
            return [f"ray has no command {name!r}"]
        command = found
    try:
        given = command.make_context(command.name, list(rest)).params
    except click.exceptions.Exit:
        return []
    except click.ClickException as error:
        return [f"ray {command.name}: {error.format_message()}"]
    wrong = _missing(given["cluster_config_file"]) if "cluster_config_file" in given else []
    if command.name == "submit":
        return wrong + _about(list(given["entrypoint"]), places)
    return wrong + (complaints(given["cmd"], places=places) if command.name == "exec" else [])
