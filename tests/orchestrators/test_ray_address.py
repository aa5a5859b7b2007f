"""A cluster that cannot be reached is the user's to mend."""

from __future__ import annotations

import pytest
import ray

from etl_ray.errors import ConfigError
from etl_ray.orchestrators.ray_engine import RayEngine


def test_an_address_without_a_cluster_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, **_options: object) -> None:
        raise ConnectionError(f"Failed to connect to Ray cluster at {address}")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)

    with pytest.raises(ConfigError) as caught:
        RayEngine(address="10.0.0.5:6379", cpus_per_task=1.0, memory_mb_per_task=1024, max_tasks=None)

    assert str(caught.value) == (
        "cannot connect to Ray at 10.0.0.5:6379: Failed to connect to Ray cluster at 10.0.0.5:6379; "
        f"expected a running cluster of Ray {ray.__version__}. If it asks for a token, set RAY_AUTH_MODE=token"
    )
