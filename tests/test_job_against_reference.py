"""The job over real flow, samples and lines that nobody sent, held to the plain reference row by row."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_ray.sample import SampleOptions, write_sample
from etl_ray.summary import RunSummary
from etl_ray.tables import TABLES
from tests.reference import Reference, read_segments
from tests.reference.against import CHANNELS, Asked, assert_summary, pad, run, run_and_compare, table_files
from tests.reference.compare import assert_equal, read_output
from tests.reference.mutations import mutate

WIRE = Path(__file__).parent / "data" / "coinbase"
INVALID = [line for path in sorted(WIRE.glob("invalid*.ndjson")) for line in path.read_bytes().split(b"\n")]
VALID = [line for path in sorted(WIRE.glob("[!i]*.ndjson")) for line in path.read_bytes().split(b"\n") if line]
LINES = VALID * 8 + INVALID
PRODUCTS = ("BTC-USD", "ETH-USD", "A", "btc/é")
BARE = Asked(bare=True)
MIDNIGHT_NS = 1_764_201_600_000_000_000  # 2025-11-27, between times that the fixtures have


@pytest.fixture(scope="module")
def truth(real_flow: Path) -> Reference:
    return BARE.truth([real_flow])


@pytest.fixture(scope="module")
def outcome(real_flow: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSummary, Path]:
    output_dir = tmp_path_factory.mktemp("real") / "output"
    return run(real_flow, output_dir, BARE), output_dir


@pytest.fixture(scope="module")
def plain_flow(real_flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the recording unpacked, so that its segments can be cut."""
    directory = tmp_path_factory.mktemp("plain")
    for identity, raw in read_segments([real_flow]):
        (directory / identity).write_bytes(raw)
    return directory


class TestRealFlow:
    """Eleven minutes of recorded flow, with midnight in them."""

    def test_every_row_and_figure(self, truth: Reference, outcome: tuple[RunSummary, Path]) -> None:
        summary, output_dir = outcome
        assert_equal(read_output(output_dir, tables=truth.schemas), truth)
        assert_summary(summary, truth)

    def test_figures_are_those_of_the_recording(self, truth: Reference, outcome: tuple[RunSummary, Path]) -> None:
        summary, _ = outcome
        if truth.counts.lines != 82_453:
            pytest.skip("another recording than the shared one")
        assert summary.messages == {
            "l2_data": 12_963,
            "market_trades": 34_418,
            "ticker": 34_418,
            "heartbeats": 651,
            "subscriptions": 3,
        }
        assert (summary.accepted, summary.rejects, summary.ignored, summary.out_of_range) == (82_453, 0, 0, 0)

    @pytest.mark.slow
    def test_any_cut_gives_the_same_rows(self, truth: Reference, plain_flow: Path, output_dir: Path) -> None:
        sizes = Asked(unit_bytes=3_000_000, block_bytes=250_000, rows_per_file=50_000, bare=True)
        assert_summary(run(plain_flow, output_dir, sizes), truth)
        assert_equal(read_output(output_dir, tables=truth.schemas), truth)

    def test_the_same_input_gives_the_same_bytes(
        self, real_flow: Path, outcome: tuple[RunSummary, Path], output_dir: Path
    ) -> None:
        run(real_flow, output_dir, BARE)
        assert table_files(output_dir) == table_files(outcome[1])

    def test_a_selection_in_decimals(
        self, real_flow: Path, truth: Reference, input_dir: Path, output_dir: Path
    ) -> None:
        segments = sorted(real_flow.glob("*.ndjson*"))
        for path in segments[: len(segments) // 2]:
            (input_dir / path.name).symlink_to(path)
        level2 = truth.tables["level2"]
        product, times = str(level2[0]["product_id"]), [row["ts_server"] for row in level2]
        first, middle = times[len(times) // 8], times[len(times) // 4]
        assert isinstance(first, int)
        assert isinstance(middle, int)
        channels = ("level2", "market_trades", "heartbeats")
        asked = Asked("decimal", channels, (product,), first, middle, bare=True)
        counts = run_and_compare(input_dir, output_dir, asked)
        assert min(counts.accepted, counts.ignored, counts.out_of_range) > 0


class TestSample:
    """Generated recordings: connections that follow each other or interleave, segments that rotate in between."""

    @pytest.mark.parametrize("numbers", ["float64", "decimal"])
    @pytest.mark.parametrize("compress", ["none", "gz", "zst"])
    @pytest.mark.parametrize("overlap", [False, True])
    def test_sample(self, overlap: bool, compress: str, numbers: str, input_dir: Path, output_dir: Path) -> None:
        options = SampleOptions(
            seed=len(compress) + overlap,
            minutes=0.2,
            rate=10,
            levels=50,
            connections=3,
            overlap=overlap,
            segment_mb=0.4,
            compress=compress,  # type: ignore[arg-type]
            start="2025-11-26T23:59:54Z",
        )
        report = write_sample(str(input_dir), options)
        sizes = Asked(numbers=numbers, unit_bytes=90_000, block_bytes=30_000, rows_per_file=500)  # type: ignore[arg-type]
        counts = run_and_compare(input_dir, output_dir, sizes)
        assert (counts.lines, counts.bytes, counts.rejected) == (report.lines, report.bytes, 0)
        assert len(report.paths) > 1

    def test_connections_of_an_interleaved_sample(self, input_dir: Path, output_dir: Path) -> None:
        options = SampleOptions(seed=5, minutes=0.2, rate=20, levels=20, connections=3, overlap=True, segment_mb=0.3)
        write_sample(str(input_dir), options)
        run(input_dir, output_dir, Asked())
        found = (
            read_output(output_dir)["level2"]
            .select(["product_id", "connection_id"])
            .group_by(["product_id", "connection_id"])
        )
        pairs = found.aggregate([]).to_pylist()
        assert len(pairs) == len({pair["connection_id"] for pair in pairs}) == 3


def message(sequence_num: int, product: str | None) -> bytes:
    """Return a line with a row of `product`, or of none."""
    event = b'{"heartbeat_counter":1}'
    if product is not None:
        event = b'{"type":"snapshot","product_id":"%s","updates":[]}' % product.encode()
    channel = b"heartbeats" if product is None else b"l2_data"
    parts = (channel, sequence_num, event)
    return b'{"channel":"%s","timestamp":"2025-11-26T14:00:00Z","sequence_num":%d,"events":[%s]}' % parts


class TestConnections:
    """Whose message is it: numbers and products alone, over cuts at any place."""

    def check(self, segments: list[list[tuple[int, str | None]]], asked: Asked) -> None:
        with TemporaryDirectory() as directory:
            input_dir = Path(directory) / "input"
            input_dir.mkdir()
            for number, messages in enumerate(segments):
                lines = [message(sequence_num, product) for sequence_num, product in messages]
                (input_dir / f"s{number}.ndjson").write_bytes(b"\n".join(lines))
            run_and_compare(input_dir, Path(directory) / "output", asked)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["A", "B", None])), max_size=8),
            min_size=1,
            max_size=3,
        ),
        st.sampled_from([None, 1, 300]),
    )
    def test_few_messages(self, segments: list[list[tuple[int, str | None]]], unit_bytes: int | None) -> None:
        self.check(segments, Asked(unit_bytes=unit_bytes, block_bytes=unit_bytes))

    @pytest.mark.parametrize("seed", range(2))
    def test_many_messages(self, seed: int) -> None:
        random = Random(seed)
        products = [None, "A", "B", "C", "D", "E"]
        messages = [(random.randint(0, 30), random.choice(products)) for _ in range(4_000)]
        cut = random.randint(1_000, 3_000)
        self.check([messages[:cut], messages[cut:]], Asked(unit_bytes=100_000, block_bytes=10_000))

    def test_far_back(self) -> None:
        """Look for the greatest last number, and for the run to extend, among as many as may be open."""
        runs: list[tuple[int, str | None]] = [(2 * number, f"P{number}") for number in range(1_030, 0, -1)]
        last: list[tuple[int, str | None]] = [(2_063, None), (2_048, "X"), (2_053, "X"), (2_057, "P1028")]
        few_files = Asked(products=("X", "P1028"))
        self.check([[*runs, *last]], few_files)
        self.check([runs[:500], runs[500:], last], few_files)


def segment_of(random: Random, lines: int) -> bytes:
    """Return a segment of mutated lines."""
    mark = random.choice((b"", b"", b"\xef\xbb\xbf"))
    return mark + b"\n".join(mutate(random, LINES, steps=2) for _ in range(lines)) + random.choice((b"", b"\n"))


def asked_by(random: Random) -> Asked:
    """Return a selection and a cut."""
    some_channels = tuple(sorted(random.sample(CHANNELS, random.randint(1, len(CHANNELS)))))
    some_products = tuple(random.sample(PRODUCTS, random.randint(1, 2)))
    start_ns = random.choice((None, None, MIDNIGHT_NS - 86_400_000_000_000, MIDNIGHT_NS))
    end_ns = random.choice((None, None, MIDNIGHT_NS + 1))
    unit_bytes = random.choice((None, 100_000, 20_000, 3_000))
    return Asked(
        numbers=random.choice(("float64", "decimal")),
        channels=random.choice((None, None, some_channels)),
        products=random.choice((None, None, some_products)),
        start_ns=start_ns,
        end_ns=end_ns,
        unit_bytes=unit_bytes,
        block_bytes=min(unit_bytes or 10_000_000, random.choice((200, 5_000, 10_000_000))),
        rows_per_file=random.choice((1_000_000, 10)),
    )


def check_mutations(random: Random, *, segments: int, lines: int) -> None:
    """Write segments of mutated lines, run the job over them and compare."""
    with TemporaryDirectory() as directory:
        input_dir = Path(directory) / "input"
        input_dir.mkdir()
        written = [segment_of(random, lines) for _ in range(segments)]
        for number, raw in enumerate(written):
            is_packed = random.random() < 0.2
            name = f"segment_20251126_{number}.ndjson{'.gz' if is_packed else ''}"
            (input_dir / name).write_bytes(gzip.compress(raw) if is_packed else raw)
        pad(input_dir, sum(raw.count(b"\n") + 1 for raw in written))
        run_and_compare(input_dir, Path(directory) / "output", asked_by(random))


class TestMutatedLines:
    """Lines of the fixtures with bytes and values changed, cut, doubled, joined, their keys in another order."""

    def test_mutations_are_of_every_kind(self) -> None:
        random = Random(1)
        with TemporaryDirectory() as directory:
            (Path(directory) / "s.ndjson").write_bytes(segment_of(random, 5_000))
            truth = Asked().truth([Path(directory)])
        assert {name for name, rows in truth.tables.items() if len(rows) < 20} == {
            "book_checkpoints",
            "market_trades",  # copies of a few trades
            "witness",
            *("bars", "trades_with_book", "features"),  # which are not asked for
        }
        assert set(truth.tables) == set(TABLES)
        assert len(truth.counts.messages) == 11
        assert 0.3 < truth.counts.rejected / truth.counts.lines < 0.7
        assert len({row["connection_id"] for row in truth.tables["level2"]}) > 50

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False), st.integers(1, 2), st.integers(1, 6))
    def test_a_few_lines(self, random: Random, segments: int, lines: int) -> None:
        check_mutations(random, segments=segments, lines=lines)

    @pytest.mark.parametrize("seed", range(3))
    def test_many_lines(self, seed: int) -> None:
        check_mutations(Random(seed), segments=1 + 2 * seed, lines=1_000)

    @pytest.mark.slow
    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False), st.integers(1, 3), st.integers(1, 8))
    def test_a_few_lines_for_long(self, random: Random, segments: int, lines: int) -> None:
        check_mutations(random, segments=segments, lines=lines)

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(100, 116))
    def test_many_lines_for_long(self, seed: int) -> None:
        check_mutations(Random(seed), segments=1 + seed % 4, lines=2_000)
