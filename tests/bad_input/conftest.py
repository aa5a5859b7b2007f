"""What all tests of bad input share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing is for power failures; killed processes lose nothing that the system has."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
