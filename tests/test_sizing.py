"""The tables of the sizing guide are what the formulae of `etl-ray plan` give."""

from __future__ import annotations

import pytest

from tests import sizing_tables
from tests.sizing_tables import CASES, PAGE, TABLES, head, rendered, sized


def test_the_tables_of_the_page_are_those_of_the_formulae() -> None:
    text = PAGE.read_text()

    assert rendered(text) == text
    assert [text.count(f"<!-- table: {name} -->") for name in TABLES] == [1] * len(TABLES)


def test_a_table_that_differs_is_seen() -> None:
    text = PAGE.read_text()
    changed = text.replace("| 1 TB plain | 1.0 TB |", "| 1 TB plain | 1.1 TB |")

    assert changed != text
    assert rendered(changed) == text


def test_a_changed_rate_changes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing_tables, "PRODUCTS", 40)

    assert rendered(PAGE.read_text()) != PAGE.read_text()


def test_the_recording_of_the_page_is_like_the_real_one() -> None:
    found = sized(CASES[0])

    assert found.work.unpacked_bytes == 10**12
    assert found.work.rows["level2"] / found.work.unpacked_bytes == pytest.approx(574_846 / 93_723_149, rel=0.01)
    assert found.work.rows["book"] / found.work.unpacked_bytes == pytest.approx(12_963 / 93_723_149, rel=0.01)
    assert found.work.staged_bytes / found.work.unpacked_bytes == pytest.approx(0.152, rel=0.02)
    assert head("zstd").bytes / head("zstd").stored == pytest.approx(23.5)
