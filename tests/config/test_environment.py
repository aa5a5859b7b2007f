"""What the environment says, and what it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etl_ray.config import failpoint, has_ray_token, ray_auth_mode, user_cache_dir, with_ray_token


@pytest.mark.parametrize(("value", "wanted"), [(None, None), ("", None), ("kill:3", "kill:3")])
def test_a_failpoint_is_what_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, value: str | None, wanted: str | None
) -> None:
    monkeypatch.delenv("ETL_RAY_FAILPOINT", raising=False)
    if value is not None:
        monkeypatch.setenv("ETL_RAY_FAILPOINT", value)

    assert failpoint() == wanted


@pytest.fixture
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("_no_token")
def test_a_token_is_in_the_environment_or_in_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not has_ray_token()
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "")
            assert not has_ray_token()
            patch.setenv(name, "told")
            assert has_ray_token()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    assert has_ray_token()


@pytest.mark.usefixtures("_no_token")
@pytest.mark.parametrize(("value", "wanted"), [(None, None), ("", None), ("token", "token"), ("Disabled", "disabled")])
def test_how_clusters_are_protected(monkeypatch: pytest.MonkeyPatch, value: str | None, wanted: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", value)

    assert ray_auth_mode() == wanted


@pytest.mark.usefixtures("_no_token")
@pytest.mark.parametrize("mode", [None, "token"])
def test_a_token_lasts_as_long_as_it_is_used(monkeypatch: pytest.MonkeyPatch, mode: str | None) -> None:
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    before = dict(os.environ)

    with pytest.raises(ZeroDivisionError), with_ray_token("secret"):
        assert os.environ["RAY_AUTH_TOKEN"] == "secret"
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray does
        _ = 1 // 0

    assert dict(os.environ) == before


@pytest.mark.usefixtures("_no_token")
def test_the_cache_is_where_the_user_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert user_cache_dir() == tmp_path / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert user_cache_dir() == Path("/elsewhere")
