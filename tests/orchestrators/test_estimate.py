"""The formulae of an estimate, with figures that were computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from etl_ray.config import JobConfig
from etl_ray.config.prices import Prices
from etl_ray.orchestrators.estimate import (
    StageCost,
    driver_mb,
    limits,
    lists,
    longest_share,
    output_bytes,
    quantities,
    rework_share,
    stage_costs,
    useful_cores,
    wall_s,
)
from etl_ray.orchestrators.expected_rows import expected_files, shards_of_books
from etl_ray.orchestrators.extrapolation import Extrapolation, ratio, span_s, unpacked_bytes
from etl_ray.orchestrators.run_estimate import Asked, estimate
from etl_ray.orchestrators.sampling import Content, Head, spread
from etl_ray.orchestrators.workload import Stored, Workload, in_range, present, volume, workload
from etl_ray.readers.segments import Segment, Unit
from etl_ray.tables.book import BookColumns

S, DAY = 1_000_000_000, 86_400
WORK = Workload(
    segments=1000,
    stored_bytes=10_000_000_000,
    unpacked={"zstd": 100_000_000_000},
    units=1000,
    largest_unit_bytes=500_000_000,
    lines=100_000_000,
    messages=100_000_000,
    span_s=4.0 * DAY,
    days=4,
    products=10,
    staged_rows={"level2": 500_000_000, "market_trades": 2_000_000},
    rows={"level2": 500_000_000, "market_trades": 1_000_000, "book": 50_000_000},
    files={"level2": 160, "market_trades": 42, "book": 160},
    groups={"level2": 30_000, "market_trades": 10_000},
    staged_bytes=15_000_000_000,
    kept_bytes=3_000_000_000,
    operations=500_000_000,
    stretches=10_000,
    book_shards=160,
    largest_product="BTC-USD",
    largest_share=0.4,
)


NOTHING = Content()


def head(index: int, snapshots: Content = NOTHING, updates: Content = NOTHING, **other: object) -> Head:
    found = Head(index, 10, None, False, snapshots, updates, None, None)
    return replace(found, **other)  # type: ignore[arg-type]


def test_snapshots_count_by_segment_and_the_rest_by_bytes() -> None:
    heads = (
        head(0, Content(bytes=1000, rows={"level2": 50}), Content(bytes=500, rows={"level2": 5})),
        head(5, Content(bytes=100, rows={"level2": 4}), Content(bytes=1500, rows={"level2": 11})),
        head(9, Content(), Content(bytes=2000, rows={"level2": 24})),
    )
    mix = Extrapolation(11, 21_500.0, heads)

    # Of ten segments behind the first each begins with 50 bytes and 2 rows; 20,000 bytes have 40 rows in 4,000.
    assert mix.total(lambda part: part.rows.get("level2", 0)) == 50 + 10 * 2 + 20_000 * 40 / 4000
    assert mix.total(lambda part: part.rows.get("level2", 0), repeated=False) == 50 + 20_000 * 40 / 4000


def test_where_all_is_snapshots_they_stand_for_the_rest() -> None:
    mix = Extrapolation(3, 9000.0, (head(0, Content(bytes=1000, rows={"level2": 7})),))

    assert mix.total(lambda part: part.rows.get("level2", 0)) == 63
    assert Extrapolation(0, 0.0, ()).total(lambda part: part.lines) == 0


def test_unpacked_sizes_go_by_the_ratio_of_the_codec() -> None:
    heads = (
        head(0, updates=Content(bytes=300), stored=100, codec="zstd"),
        head(2, updates=Content(bytes=500), stored=100, codec="zstd"),
        head(3, updates=Content(bytes=79), stored=77, is_whole=True),
    )

    assert (ratio("zstd", heads), ratio("gzip", heads), ratio(None, heads)) == (4.0, 4.0, 1.0)
    assert ratio("gzip", ()) == 1.0
    assert unpacked_bytes((1000, 50, 1000, 77, 20), ("zstd", None, "gzip", None, "zstd"), heads) == [
        *(4000.0, 50.0, 4000.0, 79.0, 80.0),
    ]


def test_time_is_that_between_heads_and_behind_the_last() -> None:
    timed = (
        head(0, updates=Content(bytes=10), ts_min=100 * S, ts_max=101 * S),
        head(2, updates=Content(bytes=10), ts_min=140 * S, ts_max=144 * S),
    )
    sizes = [50.0, 150.0, 100.0, 100.0]

    assert span_s(sizes, timed) == 40 + 200 * 40 / 200
    assert span_s(sizes, (timed[0], replace(timed[1], is_whole=True))) == 40 + 4 + 100 * 40 / 200
    assert span_s(sizes, timed[1:]) == 4 * 400 / 10
    assert span_s(sizes, (head(0),)) == 0.0


def test_a_range_limits_time_and_dates() -> None:
    heads = (head(0, ts_min=2 * DAY * S, ts_max=2 * DAY * S),)
    config = JobConfig(start=1_262_304_000 * S, end=1_262_304_000 * S + DAY * S)
    begins = (replace(heads[0], ts_min=1_262_304_000 * S - DAY * S),)

    assert in_range(heads, 100.0, JobConfig()) == (2 * DAY * S, (2 * DAY + 100) * S, 1.0)
    assert in_range(begins, 4.0 * DAY, config) == (1_262_304_000 * S, (1_262_304_000 + DAY) * S, 0.25)
    assert in_range((), 0.0, JobConfig()) == (0, 0, 1.0)


def test_heads_are_spread_over_a_recording() -> None:
    assert spread(3, 8) == (0, 1, 2)
    assert spread(16, 8) == (0, 2, 4, 6, 8, 10, 12, 14)
    assert spread(0, 8) == ()


def test_rare_products_are_in_few_parts() -> None:
    assert present({"A": 1e9, "B": 1.0}, 100) == pytest.approx(100.995, abs=0.001)
    assert present({"A": 5.0}, 0) == 0.0


def test_units_keep_the_order_of_segments() -> None:
    one, other = Segment("a.ndjson", "/a.ndjson.zst", 70, "1"), Segment("b.ndjson", "/b.ndjson", 50, "1")

    assert Stored.of((Unit(one), Unit(other, 0, 30), Unit(other, 30, 50))) == Stored(
        (70, 50), ("zstd", None), ((0, 70), (1, 30), (1, 20))
    )


def test_all_that_a_recording_comes_to() -> None:
    part = Content(
        bytes=1_000_000,
        lines=900,
        messages={"l2_data": 500, "ticker": 400},
        rows={"level2": 5000, "ticker": 400},
        products={"level2": {"A": 4000, "B": 1000}, "ticker": {"A": 400}},
        groups=3,
        staged_bytes=207_200,
        kept_bytes=53_000,
    )
    heads = (head(0, updates=part, stored=100_000, codec="zstd", ts_min=0, ts_max=10 * S),)
    stored = Stored((4_000_000,) * 10, ("zstd",) * 10, tuple((k, 4_000_000) for k in range(10)))
    found = workload(volume(stored, heads, JobConfig()), heads, JobConfig())

    assert (found.unpacked, found.largest_unit_bytes, found.units) == ({"zstd": 400_000_000}, 40_000_000, 10)
    assert (found.lines, found.messages, found.operations) == (360_000, 360_000, 2_000_000)
    assert (found.span_s, found.days, found.products) == (4000.0, 1, 2)
    assert found.groups == {"level2": 40, "ticker": 20}  # 40 MB are two blocks
    assert found.staged_bytes == 400 * 200_000 + 60 * 2400
    assert found.kept_bytes == 400 * 50_000 + 60 * 1000
    assert found.stretches == 20 + 4
    assert (found.largest_product, found.largest_share) == ("A", 0.8)
    assert found.rows == {"level2": 2_000_000, "ticker": 160_000, "book": 200_000}
    assert found.files == {"level2": 2, "ticker": 1, "book": 2}


def test_files_are_cut_by_dates_and_rows() -> None:
    config = JobConfig.model_validate({"staging": {"rows_per_file": 1000}})
    shards = shards_of_books({"A": 3500.0, "B": 10.0}, config, days=2)
    rows = {"level2": 3510, "heartbeats": 50, "market_trades": 1_200_000, "book": 5}
    products = {"level2": {"A": 3500.0, "B": 10.0}, "market_trades": {"A": 1_200_000.0}}

    assert shards == {"A": 4, "B": 2}
    assert expected_files(rows, products, config, days=2, shards=shards) == {
        "level2": 4 + 2,
        "heartbeats": 2,
        "market_trades": 2 + 2,
        "book": 6,
    }


def test_bytes_of_tables_go_by_rows_files_and_width() -> None:
    usual = output_bytes(WORK, BookColumns())
    narrow = output_bytes(WORK, BookColumns(depth=1))

    assert usual["level2"] == 3_850_000_000
    assert usual["market_trades"] == 10_800_000 + 42 * 13_389
    assert narrow["book"] < 0.7 * usual["book"]


def test_costs_are_sums_of_quantities_times_rates() -> None:
    found = {"trades": {"mrows": 2.0, "groups": 10_000, "shards": 42, "files": 42}, "driver": {"segments": 1000}}

    costs = stage_costs(WORK, found, request_s=0.03, slowness=2.0)

    cpu_s = 2 * (2 * 0.209 + 10_000 * 0.00059 + 42 * 0.0079)
    wait_s = (10_000 * 2.1 + 42 * 2 + 42) * 0.03 / 4
    assert costs["trades"].cpu_s == pytest.approx(cpu_s)
    assert costs["trades"].wait_s == pytest.approx(wait_s)
    assert costs["trades"].longest_s == pytest.approx((cpu_s + wait_s) / 42)
    assert (costs["trades"].reads, costs["trades"].writes, costs["trades"].deletes) == (21_084, 42, 0)
    assert costs["driver"].cpu_s == pytest.approx(0.09)


def test_stages_have_what_they_depend_on() -> None:
    found = quantities(WORK, JobConfig(), {"market_trades": 14_000_000, "book": 5_000_000})

    assert list(found) == ["normalize", "build", "trades", "compose", "books", "witness", "driver"]
    assert found["normalize"]["zst_mb"] == found["normalize"]["mb"] == 100_000
    assert found["driver"]["old_pieces"] == 1000 * 2 * 0.5  # two of four days are over
    assert found["driver"]["groups"] == 50_000
    assert found["witness"] == {"mb": 0.0, "tasks": 0, "candle_mb": 0.0, "candle_tasks": 0}
    heard = replace(
        WORK,
        staged_rows={**WORK.staged_rows, "ticker": 10, "candles": 10},
        groups={**WORK.groups, "ticker": 1, "candles": 1},
    )
    assert quantities(heard, JobConfig(), {"market_trades": 14_000_000, "book": 5_000_000})["witness"] == {
        "mb": 5.0,
        "tasks": 40,
        "candle_mb": 14.0,
        "candle_tasks": 40,
    }
    assert found["build"] == {"mcells": 8000.0, "groups": 30_000, "files": 160}  # 16 columns


@pytest.mark.parametrize(
    ("stage", "share"),
    [("normalize", 0.005), ("compose", 0.1), ("candles", 0.1), ("witness", 0.1), ("books", 1 / 160), ("driver", 1.0)],
)
def test_the_longest_piece_of_a_stage(stage: str, share: float) -> None:
    assert longest_share(stage, WORK, quantities(WORK, JobConfig(), {}).get(stage, {})) == share


def stage(name: str, cpu_s: float, longest_s: float = 0.0, wait_s: float = 0.0) -> StageCost:
    return StageCost(name, cpu_s, wait_s, longest_s, 0.0, 0.0, 0.0)


def test_time_is_that_of_the_driver_and_of_each_stage_or_its_longest_piece() -> None:
    costs = {"a": stage("a", 950.0, 20.0), "b": stage("b", 95.0, 50.0), "driver": stage("driver", 40.0, wait_s=5.0)}

    assert wall_s(costs, 10) == 45 + 100 + 50
    assert wall_s(costs, 1) == pytest.approx(45 + 1000 + 100)
    assert useful_cores(costs) == 9  # 1,100 s divided, 115 s not


def test_limits_are_told_by_their_share_of_the_time() -> None:
    costs = {"a": stage("a", 760.0, 20.0, wait_s=190.0), "b": stage("b", 95.0, 50.0), "driver": stage("driver", 45.0)}
    work = replace(WORK, segments=0, units=0)

    found = {limit.name: limit.share for limit in limits(costs, work, 10, prices=Prices(), request_s=0.03)}

    assert next(iter(found)) == "cores"
    assert found["cores"] == pytest.approx((80 + 10) / 195)
    assert found["requests"] == pytest.approx(20 / 195)
    assert found["driver"] == pytest.approx(45 / 195)
    assert found["stragglers"] == pytest.approx(40 / 195)
    assert found["losses"] == pytest.approx(0.05 * (950 * 20 + 95 * 50) / 1045 / 2 / 3600)


def test_a_lost_node_costs_half_of_what_its_cores_have_in_hand() -> None:
    prices = Prices(losses_per_hour=0.5)

    assert rework_share({"a": stage("a", 100.0, 2.0), "driver": stage("driver", 9.0)}, prices) == 0.5 * 5 / 3600
    assert rework_share({"a": stage("a", 100.0, 3600.0)}, prices) == 0.25
    assert rework_share({}, prices) == 0.0


def test_memory_of_the_driver_and_listings_grow_with_units() -> None:
    assert driver_mb(replace(WORK, units=100_000, groups={"level2": 6_000_000}, stretches=2_000_000)) == 1170
    assert lists(replace(WORK, segments=2000, units=1000)) == 18


def test_money_is_for_cores_from_start_to_commit_and_for_requests() -> None:
    prices = Prices(core_hour=0.1, reads_per_1000=0.001, writes_per_1000=0.01, lists_per_1000=0.1, losses_per_hour=0)
    found = estimate(WORK, JobConfig(), Asked(cores=100, prices=prices))

    assert found.core_cost == pytest.approx(100 * found.wall_s / 3600 * 0.1)
    assert found.request_cost == pytest.approx(found.reads * 1e-6 + found.writes * 1e-5 + found.lists * 1e-4)
    assert found.output_bytes == sum(table.bytes for table in found.tables.values())


def test_only_in_buckets_answers_are_waited_for() -> None:
    here = estimate(WORK, JobConfig(), Asked(cores=100, prices=Prices()))
    there = estimate(WORK, JobConfig(), Asked(cores=100, prices=Prices(), is_remote=True))

    assert sum(stage.wait_s for stage in here.stages) == 0.0
    assert (here.reads, here.writes, here.cpu_s) == (there.reads, there.writes, there.cpu_s)
    assert there.wall_s > here.wall_s
