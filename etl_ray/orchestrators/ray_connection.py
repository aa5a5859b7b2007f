"""Joining a Ray cluster, or starting one on this machine, with their tokens."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import ray
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
from ray._raylet import AuthenticationTokenLoader, Config, GcsClient  # type: ignore[attr-defined]  # compiled
from ray.exceptions import AuthenticationError, RpcError

from etl_ray.config import has_ray_token, ray_auth_mode, with_ray_token
from etl_ray.errors import ConfigError

_ANSWER_S = 10.0


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Join the cluster at `address`, or start one on this machine if it is None or `local`; leave or stop it then.

    Raise ConfigError, within a minute, if no cluster is there or it wants another token; it says what to set.
    """
    is_own = address in (None, "local")
    with _token_of_its_own() if is_own else nullcontext():
        try:
            if is_own:
                ray.init(address="local", include_dashboard=False, log_to_driver=False, configure_logging=False)
            else:
                _join(str(address))
            yield
        finally:
            ray.shutdown()


@contextmanager
def _token_of_its_own() -> Iterator[None]:
    """Give a cluster that ends with its run a token that ends with it as well, where there is none to use.

    Ray would write one into the home directory, and every head that is started there later would ask for it.
    """
    if has_ray_token() or ray_auth_mode() not in (None, "token"):
        yield
        return
    try:
        with with_ray_token(secrets.token_hex(32)):
            yield
    finally:  # Ray remembers what it has read of the environment
        AuthenticationTokenLoader.instance().reset_cache()
        Config.initialize("")


def _join(address: str) -> None:
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except AuthenticationError:
        raise ConfigError(f"cannot connect to Ray at {address}: it asks for a token; {_wanted()}") from None
    except (OSError, RpcError, RuntimeError) as error:
        raise ConfigError(
            f"cannot connect to Ray at {address}: {error}; expected a running cluster of Ray {ray.__version__}"
        ) from None


def _knock(address: str) -> None:
    """Raise what `ray.init` would take many minutes to tell of an address, or twenty lines of warnings."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        return  # Ray looks up the address
    socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    ensure_token_if_auth_enabled(create_token_if_missing=False)
    GcsClient(address=address)


def _wanted() -> str:
    """Say what to set, and what is set."""
    mode = ray_auth_mode()
    if mode != "token":
        return (
            f"expected RAY_AUTH_MODE=token, found {'it not set' if mode is None else mode}. The token is read from "
            "RAY_AUTH_TOKEN, from the file that RAY_AUTH_TOKEN_PATH names, or from ~/.ray/auth_token"
        )
    return (
        "expected it in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token, "
        f"found {'another one' if has_ray_token() else 'none'}"
    )
