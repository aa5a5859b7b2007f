"""A cluster that cannot be reached is the user's to mend."""

from __future__ import annotations

import socket

import pytest
import ray

from etl_ray.errors import ConfigError
from etl_ray.orchestrators.ray_connection import connected


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets it, but not listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(ConfigError) as caught, connected(address):
            pass

    assert str(caught.value) == (
        f"cannot connect to Ray at {address}: [Errno 111] Connection refused; "
        f"expected a running cluster of Ray {ray.__version__}"
    )


def test_what_ray_says_of_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, **_options: object) -> None:
        raise ConnectionError(f"ray client connection timeout at {address}")

    monkeypatch.setattr(ray, "init", refuse)

    with pytest.raises(ConfigError) as caught, connected("ray://10.0.0.5:10001"):
        pass

    assert str(caught.value) == (
        "cannot connect to Ray at ray://10.0.0.5:10001: ray client connection timeout at ray://10.0.0.5:10001; "
        f"expected a running cluster of Ray {ray.__version__}"
    )
