"""No source file may do what lets data run code: neither unpickle nor evaluate, and no shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("etl_ray", "jobs") for path in (ROOT / folder).rglob("*.py"))

MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "dbm", "code", "pty"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "os.execv",
    "os.spawnv",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell",
    "read_pickle",
    "to_pickle",
    "importlib.import_module",
    "import_module",
    "subprocess.run",
    "subprocess.Popen",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.check_output",
}
ATTRIBUTES = {"yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "yaml.CLoader"}
ALLOWED = {
    ("etl_ray/__init__.py", "import_module"): "modules of the package itself, by the names of what it exports",
    ("etl_ray/bars/__init__.py", "import_module"): "as above: what needs Polars is loaded when it is asked for",
    ("etl_ray/processors/__init__.py", "import_module"): "as above",
    ("etl_ray/orchestrators/custom.py", "importlib.import_module"): "processors that the user's own config names",
    ("etl_ray/orchestrators/isolation.py", "subprocess.run"): "this interpreter with a fixed program, without a shell",
}


def dangers_of(source: str) -> Iterator[str]:
    """Yield what a program does that only the files of `ALLOWED` may."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            module = node.module or ""
            if module.partition(".")[0] in MODULES:
                yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if _is_hidden(f"{module}.{alias.name}"))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ATTRIBUTES:
            yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            yield from _dangers_of_call(node)


def _is_hidden(name: str) -> bool:
    """Say whether a function would be called without the name of its module."""
    return (name in CALLS and name != "importlib.import_module") or name in ATTRIBUTES


def _dangers_of_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name in CALLS or name.rpartition(".")[2] in {"read_pickle", "to_pickle"}:
        yield name
    for keyword in call.keywords:
        is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value in (False, None)
        if keyword.arg in ("shell", "allow_pickle") and not is_off:
            yield f"{name}({keyword.arg}=...)"


def test_the_sources_do_nothing_dangerous() -> None:
    assert len(SOURCES) > 150
    found = {
        (str(path.relative_to(ROOT)), danger)
        for path in SOURCES
        for danger in dangers_of(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import pickle", "pickle"),
        ("from marshal import loads", "marshal"),
        ("def f():\n    import shelve", "shelve"),
        ("x = eval(text)", "eval"),
        ("exec(text)", "exec"),
        ("import os\nos.system('ls')", "os.system"),
        ("from os import system", "os.system"),
        ("import yaml\nyaml.load(text, Loader=yaml.Loader)", "yaml.Loader yaml.load"),
        ("class A(yaml.UnsafeLoader): pass", "yaml.UnsafeLoader"),
        ("Popen('ls', shell=True)", "Popen(shell=...)"),
        ("run('ls', shell=flag)", "run(shell=...)"),
        ("np.load(path, allow_pickle=True)", "np.load(allow_pickle=...)"),
        ("np.load(path, allow_pickle=False)", ""),
        ("pd.read_pickle(path)", "pd.read_pickle"),
        ("re.compile(text)\nyaml.safe_load(text)\n'eval(x)'", ""),
    ],
)
def test_the_search_finds_it(source: str, danger: str) -> None:
    assert sorted(dangers_of(source)) == danger.split()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!python/tuple []"]
)
def test_a_config_makes_no_objects(tag: str, tmp_path: Path) -> None:
    from etl_ray.config import load_config
    from etl_ray.errors import ConfigError

    (tmp_path / "config.yaml").write_text(f"engine: {tag}\n")
    with pytest.raises(ConfigError, match="could not determine a constructor for the tag"):
        load_config(tmp_path / "config.yaml")
