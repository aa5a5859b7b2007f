"""Every refusal names file, line and key, what was expected and what was found."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_ray.config import (
    CHANNELS,
    ChannelConfig,
    JobConfig,
    ResourcesConfig,
    StagingConfig,
    load_config,
)
from etl_ray.errors import ConfigError

KEYS = (
    "venue, channels, products, start, end, numbers, engine, address, strict, overwrite, "
    "break_lock, after, archive_to, settle, derived, staging, resources"
)
STAGING_KEYS = "unit_mb, block_mb, rows_per_file, rows_per_group, max_line_mb, url, keep_days"
CHANNEL_NAMES = "level2, market_trades, ticker, candles, status, heartbeats, subscriptions, errors"
TIMES = "a date (2025-11-26), a time with its zone (2025-11-26T14:00:00.123456789Z) or ns since 1970, from 2010 to 2100"


REFUSED = {
    "unknown key": (
        "numbers: decimal\nstagin:\n  unit_mb: 1\n",
        f"2: stagin: unknown key; did you mean 'staging'? known: {KEYS}",
    ),
    "unknown key, nothing near": ("xyzzy: 1\n", f"1: xyzzy: unknown key; known: {KEYS}"),
    "unknown key of a section": (
        "staging:\n\n  unit_mbs: 1\n",
        f"3: staging.unit_mbs: unknown key; did you mean 'unit_mb'? known: {STAGING_KEYS}",
    ),
    "unknown key of resources": (
        "resources: {cpus: 2}\n",
        "1: resources.cpus: unknown key; known: cpus_per_task, memory_mb_per_task, max_tasks, placement_timeout",
    ),
    "unknown key of a channel": (
        "channels:\n  level2:\n    enable: true\n",
        "3: channels.level2.enable: unknown key; did you mean 'enabled'? "
        "known: enabled, partition_cols, processor_options, processors",
    ),
    "unknown channel": (
        "channels:\n  levl2: {}\n",
        f"2: channels.levl2: unknown channel; did you mean 'level2'? known: {CHANNEL_NAMES}",
    ),
    "wire name of a channel": (
        "channels:\n  l2_data: {}\n",
        f"2: channels.l2_data: unknown channel; did you mean 'level2'? known: {CHANNEL_NAMES}",
    ),
    "unknown option": (
        "channels:\n  ticker:\n    processor_options:\n      include_batches: true\n",
        "4: channels.ticker.processor_options.include_batches: channel ticker has no such processor option; "
        "did you mean 'include_batch'? known: include_batch",
    ),
    "option of a channel that has none": (
        "channels:\n  candles:\n    processor_options: {depth: 5}\n",
        "3: channels.candles.processor_options.depth: channel candles has no such processor option; known: none",
    ),
    "unknown key of a processor": (
        "channels:\n  ticker:\n    processors:\n    - {path: 'a:B', option: {}}\n",
        "3: channels.ticker.processors.0.option: unknown key; did you mean 'options'? known: path, options",
    ),
    "processor without a path": (
        "channels: {ticker: {processors: [{}]}}\n",
        "1: channels.ticker.processors.0.path: expected a value, found nothing",
    ),
    "processor that is a number": (
        "channels: {ticker: {processors: [1]}}\n",
        "1: channels.ticker.processors.0: expected keys with values, found 1",
    ),
    "processors as text": (
        "channels: {ticker: {processors: 'a:B'}}\n",
        "1: channels.ticker.processors: expected a list, found 'a:B'",
    ),
    "option of a processor that is a list": (
        "channels: {ticker: {processors: [{path: 'a:B', options: {x: [1]}}]}}\n",
        "1: channels.ticker.processors.0.options.x: expected true or false, a number, text or nothing, found [1]",
    ),
    "option of a processor that is no number": (
        "channels: {ticker: {processors: [{path: 'a:B', options: {x: .nan}}]}}\n",
        "1: channels.ticker.processors.0.options.x: expected a finite number, found nan",
    ),
    "option of the wrong type": (
        "channels:\n  ticker:\n    processors: [my.module]\n",
        "3: channels.ticker.processors.0.path: expected an import path such as package.module:Class, found 'my.module'",
    ),
    "value of a processor option": (
        "channels:\n  ticker:\n    processor_options: {include_batch: 3}\n",
        "3: channels.ticker.processor_options.include_batch: expected true or false, found 3",
    ),
    "partition by another column": (
        "channels:\n  level2:\n    partition_cols: [side]\n",
        "3: channels.level2.partition_cols: expected some of product_id, date, each once, found ['side']",
    ),
    "partition by a column that the table lacks": (
        "channels:\n  heartbeats:\n    partition_cols: [product_id]\n",
        "3: channels.heartbeats.partition_cols: expected some of date, each once, found ['product_id']",
    ),
    "partition twice": (
        "channels:\n  level2:\n    partition_cols: [date, date]\n",
        "3: channels.level2.partition_cols: expected some of product_id, date, each once, found ['date', 'date']",
    ),
    "no channel left": (
        "channels:\n" + "".join(f"  {name}: {{enabled: false}}\n" for name in CHANNELS),
        "1: channels: expected at least one enabled channel, found none",
    ),
    "number for a bool": ("strict: 1\n", "1: strict: expected true or false, found 1"),
    "archive to nowhere": (
        "after: archive\n",
        " archive_to: expected a directory or URL, because after is archive, found nothing",
    ),
    "an archive that nothing goes to": (
        "archive_to: there\n",
        "1: archive_to: expected nothing, because after is keep, found 'there'",
    ),
    "an archive of what is deleted": (
        "after: delete\narchive_to: there\n",
        "2: archive_to: expected nothing, because after is delete, found 'there'",
    ),
    "segments that never settle": (
        "settle: 0s\n",
        "1: settle: expected a length such as 30s, 10m, 2h, found '0s'",
    ),
    "another end of segments": (
        "after: burn\n",
        "1: after: expected 'keep', 'archive' or 'delete', found 'burn'",
    ),
    "text for a bool": ("overwrite: 'yes'\n", "1: overwrite: expected true or false, found 'yes'"),
    "text for a number": ("staging: {unit_mb: '8'}\n", "1: staging.unit_mb: expected a number, found '8'"),
    "zero size": ("staging: {unit_mb: 0}\n", "1: staging.unit_mb: expected a number above 0, found 0"),
    "infinite size": ("staging: {unit_mb: .inf}\n", "1: staging.unit_mb: expected a finite number, found inf"),
    "no rows": ("staging: {rows_per_file: 0}\n", "1: staging.rows_per_file: expected a number from 1 on, found 0"),
    "part of a row": (
        "staging: {rows_per_group: 1.5}\n",
        "1: staging.rows_per_group: expected a whole number, found 1.5",
    ),
    "no length of time": (
        "resources: {placement_timeout: soon}\n",
        "1: resources.placement_timeout: expected a length such as 30s, 10m, 2h, found 'soon'",
    ),
    "true tasks": ("resources: {max_tasks: true}\n", "1: resources.max_tasks: expected a whole number, found True"),
    "block above unit": (
        "staging:\n  unit_mb: 8\n  block_mb: 16\n",
        "3: staging.block_mb: expected a number up to unit_mb (8.0), found 16.0",
    ),
    "scalar for a list": ("products: BTC-USD\n", "1: products: expected a list, found 'BTC-USD'"),
    "number for a product": ("products:\n- 1\n", "1: products.0: expected text, found 1"),
    "empty product": ("products: ['']\n", "1: products.0: expected text that is not empty, found ''"),
    "section without keys": ("staging:\n", "1: staging: expected keys with values, found nothing"),
    "channels as a list": (
        "channels: [level2]\n",
        "1: channels: expected keys with values, found ['level2']",
    ),
    "numbers": ("numbers: float\n", "1: numbers: expected 'float64' or 'decimal', found 'float'"),
    "engine": ("engine: spark\n", "1: engine: expected 'auto', 'local' or 'ray', found 'spark'"),
    "venue": ("venue: kraken\n", "1: venue: expected 'coinbase', found 'kraken'"),
    "address without Ray": (
        "engine: local\naddress: auto\n",
        "2: address: expected nothing, because engine local uses no cluster, found 'auto'",
    ),
    "empty address": ("address: ''\n", "1: address: expected text that is not empty, found ''"),
    "start that is no day": ("start: 2025-02-29\n", f"1: start: expected {TIMES}, found '2025-02-29'"),
    "start in seconds": ("start: 1764115200\n", f"1: start: expected {TIMES}, found 1764115200"),
    "end long ago": ("end: 2009-12-31T23:59:59Z\n", f"1: end: expected {TIMES}, found '2009-12-31T23:59:59Z'"),
    "end far ahead": ("end: 2100-01-02\n", f"1: end: expected {TIMES}, found '2100-01-02'"),
    "end as a fraction": ("end: 1.5\n", f"1: end: expected {TIMES}, found 1.5"),
    "end as a bool": ("end: true\n", f"1: end: expected {TIMES}, found True"),
    "end at start": (
        "start: 2025-11-26\nend: 2025-11-26T00:00:00Z\n",
        "2: end: expected a time after start (2025-11-26T00:00:00Z), found 2025-11-26T00:00:00Z",
    ),
    "key twice": ("a: 1\na: 2\n", "2: a: expected once, found again (first on line 1)"),
    "key of a section twice": (
        "staging:\n  unit_mb: 1\n  unit_mb: 2\n",
        "3: staging.unit_mb: expected once, found again (first on line 2)",
    ),
    "key that is no text": ("1: a\n", "1: expected a key that is text, found '1'"),
    "YAML cut short": (
        "a: [\n",
        "2: expected YAML, found: expected the node content, but found '<stream end>'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_line_key_expectation_and_finding(
    case: str, load: Callable[[str], JobConfig], tmp_path: Path
) -> None:
    text, message = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"{tmp_path / 'run.yaml'}:{message}"


def test_all_problems_are_told_at_once(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with pytest.raises(ConfigError) as caught:
        load("strict: 2\nstaging:\n  unit_mb: -1\nnumber: decimal\n")
    assert str(caught.value) == (
        f"{path}:1: strict: expected true or false, found 2; "
        f"{path}:3: staging.unit_mb: expected a number above 0, found -1; "
        f"{path}:4: number: unknown key; did you mean 'numbers'? known: {KEYS}"
    )


def test_whole_file_of_the_wrong_kind(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("- level2\n")
    assert str(caught.value) == f"{tmp_path / 'run.yaml'}: config: expected keys with values, found ['level2']"


def test_long_values_are_cut_in_messages(load: Callable[[str], JobConfig]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"numbers: {'x' * 500}\n")
    assert str(caught.value).endswith(f"expected 'float64' or 'decimal', found '{'x' * 96}...")


def test_yaml_that_refers_to_itself(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("&a staging: &b {unit_mb: *b}\n")
    assert str(caught.value).startswith(
        f"{tmp_path / 'run.yaml'}:1: staging.unit_mb: expected a number, found {{'unit_mb'"
    )


def test_tags_cannot_build_objects(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("address: !!python/object/apply:os.getcwd []\n")
    tag = "tag:yaml.org,2002:python/object/apply:os.getcwd"
    expected = f"1: expected YAML, found: could not determine a constructor for the tag {tag!r}"
    assert str(caught.value) == f"{tmp_path / 'run.yaml'}:{expected}"


def test_numbers_that_only_look_like_some(load: Callable[[str], JobConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("products: [0x_]\n")
    path = tmp_path / "run.yaml"
    assert str(caught.value) == f"{path}: expected YAML, found: invalid literal for int() with base 16: ''"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, latin = tmp_path / "missing.yaml", tmp_path / "latin.yaml"
    latin.write_bytes(b"# caf\xe9\n")
    control = tmp_path / "control.yaml"
    control.write_bytes(b"a: \x00\n")
    for path, message in (
        (missing, "expected a YAML file, found: No such file or directory"),
        (tmp_path, "expected a YAML file, found: Is a directory"),
        (latin, "expected UTF-8 text, found byte 5 that is none"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(caught.value) == f"{path}: {message}"
    with pytest.raises(ConfigError, match="expected YAML, found: unacceptable character #x0000"):
        load_config(control)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: JobConfig(staging={"unit_mb": -1}), "staging.unit_mb: expected a number above 0, found -1"),
        (lambda: StagingConfig(unit_mb=-1), "unit_mb: expected a number above 0, found -1"),
        (lambda: ChannelConfig(enabled="no"), "enabled: expected true or false, found 'no'"),
        (
            lambda: ResourcesConfig(task=1),
            "task: unknown key; did you mean 'max_tasks'? known: cpus_per_task, memory_mb_per_task, max_tasks, "
            "placement_timeout",
        ),
        (
            lambda: JobConfig(channels={"level2": ChannelConfig(processor_options={"depth": True})}),
            "channels.level2.processor_options.depth: expected a whole number, found True",
        ),
        (
            lambda: JobConfig(channels={1: {}}),
            f"channels.1: unknown channel; known: {CHANNEL_NAMES}",
        ),
        (
            lambda: ChannelConfig(processors=[{"pat": "a:B"}]),
            "processors.0.path: expected a value, found nothing; "
            "processors.0.pat: unknown key; did you mean 'path'? known: path, options",
        ),
        (lambda: JobConfig.model_validate(3), "config: expected keys with values, found 3"),
    ],
)
def test_python_callers_get_config_errors_too(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert str(caught.value) == message
    assert caught.value.exit_code == 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_a_refusal_does_not_change_how_the_next_one_is_told() -> None:
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^staging\.unit_mb: "):
            JobConfig(staging={"unit_mb": -1})
