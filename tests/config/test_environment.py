"""What the environment says, and what it does not."""

from __future__ import annotations

import pytest

from etl_ray.config import failpoint


@pytest.mark.parametrize(("value", "wanted"), [(None, None), ("", None), ("kill:3", "kill:3")])
def test_a_failpoint_is_what_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, value: str | None, wanted: str | None
) -> None:
    monkeypatch.delenv("ETL_RAY_FAILPOINT", raising=False)
    if value is not None:
        monkeypatch.setenv("ETL_RAY_FAILPOINT", value)

    assert failpoint() == wanted
