"""Which engine a run takes."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from etl_ray.config import JobConfig
from etl_ray.orchestrators.engines import SMALL_INPUT_BYTES, LocalEngine, choose_engine

SMALL, LARGE = SMALL_INPUT_BYTES, SMALL_INPUT_BYTES + 1
DEFAULTS = {
    "cpus_per_task": 1.0,
    "memory_mb_per_task": 1024,
    "max_tasks": None,
    "placement_timeout_s": 600.0,
    "note": print,
}


class FakeRayEngine:
    def __init__(self, **options: object) -> None:
        self.options = options


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("etl_ray.orchestrators.ray_engine")
    module.RayEngine = FakeRayEngine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "etl_ray.orchestrators.ray_engine", module)
    for name in ("RAY_ADDRESS", "RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("config", "environment", "input_bytes", "address"),
    [
        ({}, {}, SMALL, "local engine"),
        ({}, {}, LARGE, None),
        ({"engine": "local"}, {"RAY_ADDRESS": "1.2.3.4:6379", "RAY_JOB_ID": "1"}, LARGE, "local engine"),
        ({"engine": "ray"}, {}, 0, None),
        ({"engine": "ray"}, {"RAY_ADDRESS": "1.2.3.4:6379"}, 0, "1.2.3.4:6379"),
        ({"engine": "ray"}, {"RAY_ADDRESS": ""}, 0, None),
        ({"address": "ray://head:10001"}, {}, 0, "ray://head:10001"),
        ({"address": "ray://head:10001"}, {"RAY_ADDRESS": "1.2.3.4:6379"}, 0, "ray://head:10001"),
        ({}, {"RAY_ADDRESS": "1.2.3.4:6379"}, 0, "1.2.3.4:6379"),
        ({}, {"RAY_JOB_ID": "01000000"}, 0, "auto"),
        ({}, {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, 0, "auto"),
        ({}, {"RAY_JOB_ID": "01000000", "RAY_ADDRESS": "1.2.3.4:6379"}, 0, "1.2.3.4:6379"),
    ],
)
def test_choice(
    config: dict[str, object],
    environment: dict[str, str],
    input_bytes: int,
    address: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    engine = choose_engine(JobConfig.model_validate(config), input_bytes, print)
    if address == "local engine":
        assert isinstance(engine, LocalEngine)
    else:
        assert isinstance(engine, FakeRayEngine)
        assert engine.options == {"address": address, **DEFAULTS}


def test_resources_are_handed_on() -> None:
    resources = {"cpus_per_task": 0.5, "memory_mb_per_task": 300, "max_tasks": 3}
    config = JobConfig.model_validate({"engine": "ray", "resources": {**resources, "placement_timeout": "90s"}})
    engine = choose_engine(config, 0, print)
    assert isinstance(engine, FakeRayEngine)
    assert engine.options == {"address": None, **resources, "placement_timeout_s": 90.0, "note": print}
