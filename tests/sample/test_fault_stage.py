"""What a collector makes of a few messages, line by line and record by record."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from etl_ray.errors import ConfigError
from etl_ray.sample import SampleOptions, garbage
from etl_ray.sample.fault_log import FaultLog
from etl_ray.sample.fault_plan import FaultPlan, Trigger, plan_faults
from etl_ray.sample.fault_stage import FaultyCollector
from etl_ray.sample.options import FAULT_KINDS
from etl_ray.sample.shapes import SHAPES, Message, Shape, shape_of
from etl_ray.scan.strict import RejectedLineError, parse_line
from etl_ray.venues import VENUES

from .strict import valid

START_NS = 1_764_201_600 * 10**9
NO_PLAN = FaultPlan((), (), frozenset(), {}, {}, (), (0, 0))
NOTHING_LOST = {"books_missing": [], "trades_lost": {}, "trades_repeated": {}, "trades_healed": {}}
TRADES = (
    '{{"type":"{}","trades":[{{"trade_id":"{}","product_id":"A-B","price":"1","size":"1","side":"BUY",'
    '"time":"2025-11-27T00:00:00Z"}}]}}'
)
LEVELS = '{"type":"update","product_id":"A-B","updates":[]}'
BEAT = '{"current_time":"2025-11-27 00:00:00 +0000 UTC","heartbeat_counter":1}'


def message(number: int, channel: str = "l2_data", events: str = LEVELS, *, connection: int = 0) -> Message:
    """Return a message that arrives `number` seconds after midnight."""
    at_ns = START_NS + number * 10**9
    text = shape_of(connection).respace(Shape().message(channel, events, server_ns=at_ns, sequence_num=number))
    return Message(connection, channel, number, at_ns, text)


def collect(messages: list[Message], plan: FaultPlan, kinds: tuple[str, ...] = ()) -> tuple[list[str], list[dict]]:
    """Return the lines, and the records."""
    log = FaultLog(plan)
    texts = []
    for line in FaultyCollector(SampleOptions(faults=kinds), plan, log).lines(messages):
        texts.append(line.text)
        if line.fault is not None:
            line.fault.show("s", len(texts))
        if line.message is not None:
            log.written(line.message, "s", len(texts))
    return texts, [fault.as_dict() for fault in log.faults if fault.kind != "connection"]


def at(kind: str, second: int, turn: int = 0) -> FaultPlan:
    return replace(NO_PLAN, triggers=(Trigger(kind, START_NS + second * 10**9, turn),))


def written(messages: list[Message]) -> list[str]:
    return [shape_of(one.connection).line(one) for one in messages]


def test_nothing_happens_without_a_trigger() -> None:
    messages = [message(0), message(0, connection=2), message(1)]
    assert collect(messages, NO_PLAN) == (written(messages), [])


def test_a_loss_is_of_one_connection_and_of_market_data_first() -> None:
    messages = [
        message(0),
        message(1, "heartbeats", BEAT),
        message(2),
        message(0, connection=2),
        message(3, "market_trades", TRADES.format("update", 7)),
    ]
    texts, told = collect(messages, at("lost", 1))
    assert texts == written([messages[0], messages[1], messages[3], messages[4]])
    assert told == [
        {
            "kind": "lost",
            "detail": "",
            "connection": 0,
            "first_sequence_num": 2,
            "last_sequence_num": 2,
            "segment": "s",
            "line": 4,
            "step_ns": None,
            "products": ["A-B"],
            "channels": {"l2_data": 1},
            **NOTHING_LOST,
            "visible": ["hole"],
        }
    ]


def test_what_is_lost_last_cannot_be_seen() -> None:
    messages = [message(0), message(1, "market_trades", TRADES.format("update", 7)), message(0, connection=2)]
    texts, (told,) = collect(messages, at("lost", 1))
    assert texts == written([messages[0], messages[2]])
    assert (told["segment"], told["line"], told["visible"]) == (None, None, ["nothing"])
    assert told["trades_lost"] == {"A-B": [[7, 7]]}


def test_lost_trades_are_healed_and_delivered_ones_repeated() -> None:
    snapshot = TRADES.format("snapshot", 7).replace("]}", ',{"trade_id":"6","product_id":"A-B"}]}')
    messages = [
        message(0, "market_trades", TRADES.format("update", 6)),
        message(1, "market_trades", TRADES.format("update", 7)),
        message(0, "market_trades", snapshot, connection=2),
    ]
    plan = replace(NO_PLAN, healing={0: START_NS + 1})
    texts, (lost, healed) = collect(messages, plan)
    assert texts == written([messages[0], messages[2]])
    assert (lost["kind"], lost["trades_lost"], lost["visible"]) == ("healing", {"A-B": [[7, 7]]}, ["nothing"])
    assert healed == {
        "kind": "trade-snapshot",
        "detail": "",
        "connection": 2,
        "first_sequence_num": 0,
        "last_sequence_num": 0,
        "segment": "s",
        "line": 2,
        "step_ns": None,
        "products": ["A-B"],
        "channels": {"market_trades": 1},
        **NOTHING_LOST,
        "trades_repeated": {"A-B": [[6, 6]]},
        "trades_healed": {"A-B": [[7, 7]]},
        "visible": ["duplicate-trades", "healed-trades"],
    }


def test_a_discarded_book_is_missed_once_it_is_updated() -> None:
    book = message(0, events=LEVELS.replace("update", "snapshot", 1))._replace(answers="subscription")
    messages = [book, message(1, "heartbeats", BEAT), message(2), message(3)]
    _, (told,) = collect(messages, replace(NO_PLAN, discarding=frozenset({0})))
    assert (told["kind"], told["line"], told["books_missing"]) == ("discarded", 1, ["A-B"])
    assert told["visible"] == ["hole", "no-snapshot"]
    _, (told,) = collect(messages[:2], replace(NO_PLAN, discarding=frozenset({0})))
    assert (told["books_missing"], told["visible"]) == ([], ["hole"])


def test_halves_are_glued_to_the_next_message_of_the_connection() -> None:
    messages = [message(0), message(0, connection=2), message(1), message(2), message(3)]
    texts, (told,) = collect(messages, at("garbage", 0, garbage.VARIANTS.index("glued")))
    whole = written(messages)
    # The first one is followed by another connection's message, so the next pair is taken.
    assert texts[:2] == whole[:2]
    assert texts[3:] == whole[4:]
    assert texts[2].endswith(whole[3])
    assert whole[2].startswith(texts[2].removesuffix(whole[3]))
    assert (told["detail"], told["first_sequence_num"], told["last_sequence_num"]) == ("glued", 1, 2)
    assert (told["line"], told["visible"]) == (3, ["hole", "rejected-line"])


def test_binary_garbage_takes_nothing_away() -> None:
    messages = [message(0), message(1), message(2)]
    texts, (told,) = collect(messages, at("garbage", 1, garbage.VARIANTS.index("binary")))
    assert [texts[0], *texts[2:]] == written(messages)
    assert texts[1][0] == "\xff"
    assert (told["first_sequence_num"], told["channels"], told["line"]) == (None, {}, 2)
    assert told["visible"] == ["rejected-line"]


def test_the_last_line_is_cut() -> None:
    texts, (told,) = collect([message(0), message(1)], NO_PLAN, ("cut-tail",))
    whole = written([message(0), message(1)])
    assert texts[0] == whole[0]
    assert whole[1].startswith(texts[1])
    assert len(whole[1]) // 4 <= len(texts[1]) < len(whole[1]) * 3 // 4
    assert (told["first_sequence_num"], told["line"], told["visible"]) == (1, 2, ["cut-line"])


def test_a_clock_steps_where_lines_show_it() -> None:
    messages = [message(1, connection=2), message(1), message(2), message(3, connection=2), message(4), message(5)]
    texts, (first, second) = collect(messages, at("clock-step", 0))
    step_ns = first["step_ns"]
    assert second["step_ns"] == -step_ns
    assert (first["line"], second["line"]) == (2, 5)
    moved = [replace_capture(one, step_ns) if one in messages[1:3] else one for one in messages]
    assert texts == written(moved)


def replace_capture(one: Message, step_ns: int) -> Message:
    return one._replace(capture_ns=one.capture_ns + step_ns)


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_garbage_is_never_valid(number: int) -> None:
    candles = (
        '{"type":"update","candles":[{"start":"1764201600","high":"1.5","low":"1.5","open":"1.5","close":"1.5",'
        '"volume":"1","product_id":"A-B"}]}'
    )
    messages = [
        message(5, connection=number),
        message(6, "candles", candles, connection=number),
        message(7, "market_trades", TRADES.format("update", 7), connection=number),
    ]
    shape = SHAPES[number]
    for one in messages:
        line = shape.line(one)
        assert valid(line.encode())
        assert parse_line(line.encode(), VENUES["coinbase"], "float64")
        for draw in range(40):
            wrong = one._replace(text=garbage.wrong_types(one.text, draw))
            assert json.loads(wrong.text)
            for text in (
                garbage.broken(line, draw),
                garbage.glued(line, shape.line(messages[0]), draw),
                garbage.binary(draw),
                shape.line(wrong),
            ):
                assert text.count("\n") == text.endswith("\n") == 1
                raw = text.encode("latin-1").removesuffix(b"\n")
                assert valid(raw) is None
                with pytest.raises(RejectedLineError):
                    parse_line(raw, VENUES["coinbase"], "float64")


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(("minutes", "start"), [(0.5, "23:59:55Z"), (2.0, "23:58:30Z"), (9.0, "23:54:30Z")])
def test_plans_keep_faults_apart(*, minutes: float, start: str, overlap: bool) -> None:
    for seed in range(20):
        options = SampleOptions(
            seed=seed, minutes=minutes, connections=3, overlap=overlap, start=f"2025-11-26T{start}", faults=FAULT_KINDS
        )
        options.validate()
        plan = plan_faults(options)
        cycles = max(1, int(minutes) // 2)
        assert [trigger.kind for trigger in plan.triggers].count("garbage") == 4 * cycles
        assert 1 <= len(plan.outages) <= cycles
        sessions = sorted((one for lane in plan.lanes for one in lane.sessions), key=lambda one: one.number)
        assert [one.number for one in sessions] == list(range(len(sessions)))
        assert all(one.end_ns - one.start_ns >= 0.5 * 10**9 for one in sessions)
        begun = [len(plan.discarding), len(plan.bookless), len(plan.healing)]
        assert begun == [cycles] * 3
        before_ns, after_ns = plan.quiet_ns
        for lane in plan.lanes:
            for one in lane.sessions[1:]:
                assert not before_ns < one.start_ns < after_ns
        (stepping,) = [one for one in sessions if one.quirks.server_step is not None]
        assert stepping.start_ns < options.midnight_ns < stepping.end_ns
        recorded_ns = sessions[-1].end_ns - options.start_ns - sum(until - since for since, until in plan.outages)
        assert recorded_ns == options.duration_ns
        assert all(120 * 10**9 <= until - since < 240 * 10**9 for since, until in plan.outages)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        (
            {"faults": ("lost", "garbge")},
            f"faults: expected some of {', '.join(FAULT_KINDS)}, found 'garbge'; did you mean 'garbage'?",
        ),
        ({"faults": ("x",)}, f"faults: expected some of {', '.join(FAULT_KINDS)}, found 'x'"),
        ({"minutes": 0.4}, "minutes: expected with faults at least 0.5, found 0.4"),
        ({"rate": 4.0}, "rate: expected with faults at least 5.0, found 4.0"),
        ({"connections": 13}, "connections: expected with faults at most one for each 10 s, found 13"),
        (
            {"minutes": 1.8, "faults": FAULT_KINDS},
            "faults: expected for server-step a recording from 5 s or more before 00:00 UTC to 20 s or more after it,"
            " found '1.8 minutes from 2025-11-26T23:58:30Z'",
        ),
        (
            {"start": "2025-11-26T23:59:56Z", "faults": ("server-step",)},
            "faults: expected for server-step a recording from 5 s or more before 00:00 UTC to 20 s or more after it,"
            " found '2 minutes from 2025-11-26T23:59:56Z'",
        ),
    ],
)
def test_refusals(changed: dict, refusal: str) -> None:
    with pytest.raises(ConfigError) as raised:
        SampleOptions(**({"faults": ("lost",)} | changed)).validate()
    assert str(raised.value) == f"sample option {refusal}"
