"""What a collector makes of the messages it receives: lines, some of them lost, garbled or cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import NamedTuple

from etl_ray.sample import garbage
from etl_ray.sample.draws import raw_draws
from etl_ray.sample.fault_log import FaultLog, is_snapshot
from etl_ray.sample.fault_plan import FaultPlan, Trigger
from etl_ray.sample.faults import Fault
from etl_ray.sample.options import NS_PER_S, SampleOptions
from etl_ray.sample.shapes import Message, shape_of

_MARKET_CHANNELS = ("l2_data", "market_trades", "ticker", "candles")
# By turn: one message, a few, many, one.
_LOSSES = ((1, 1), (2, 5), (7, 14), (1, 1))
_BEATS_DROPPED = 4
_LEAST_STEP_NS, _STEP_SPREAD_NS = 1_500_000_000, 2_000_000_000
_STEP_LASTS_NS = 3 * NS_PER_S


class Line(NamedTuple):
    """A line to write with its line end, if it has one.

    `message` is what stands whole in it, None for garbage; `fault` can be seen here; a line that `is_cut` is the last.
    """

    text: str
    capture_ns: int
    message: Message | None
    fault: Fault | None = None
    is_cut: bool = False


class FaultyCollector:
    """Turn messages into lines. The log has to be told of each line before the next is taken."""

    def __init__(self, options: SampleOptions, plan: FaultPlan, log: FaultLog) -> None:
        self._plan = plan
        self._log = log
        self._cuts_tail = "cut-tail" in options.faults
        self._is_compressed = options.compress != "none"
        self._draws = raw_draws(options.seed, 0, 0, 10)
        self._triggers: defaultdict[str, list[Trigger]] = defaultdict(list)
        for trigger in plan.triggers[::-1]:
            self._triggers[trigger.kind].append(trigger)
        self._losing, self._left_to_lose = -1, 0
        self._dropping, self._left_to_drop = -1, 0
        self._clock_offset_ns = self._clock_until_ns = 0
        self._is_to_glue = False
        self._held: Message | None = None

    def lines(self, messages: Iterable[Message]) -> Iterator[Line]:
        """Yield what is written."""
        for message, following in pairwise(chain(messages, (None,))):
            assert message is not None  # noqa: S101 - for the type checker; only the last of the chain is None
            is_last = following is None
            loss = None if is_last else self._loss(message)
            held, self._held = self._held, None
            if held is not None:
                if loss is None and not is_last and _follows(held, message):
                    self._is_to_glue = False
                    yield self._glued(held, message)
                    continue
                yield self._whole(held)
            if loss is not None:
                self._log.lose(loss, message)
            elif is_last and self._cuts_tail:
                yield self._cut(message)
            else:
                yield from self._garbled(message, is_last=is_last)

    def _due(self, kind: str, message: Message) -> Trigger | None:
        triggers, (first_ns, last_ns) = self._triggers[kind], self._plan.quiet_ns
        if first_ns <= message.capture_ns < last_ns:
            return None
        return triggers.pop() if triggers and triggers[-1].at_ns <= message.capture_ns else None

    def _loss(self, message: Message) -> str | None:
        """Return the kind of fault by which a message is lost."""
        connection = message.connection
        if message.sequence_num is None:
            return None
        if message.answers == "subscription" and connection in self._plan.discarding:
            return "discarded"
        if self._is_lost(message):
            return "lost"
        if message.channel == "heartbeats" and self._is_dropped(message):
            return "heartbeats"
        if message.channel == "market_trades" and not is_snapshot(message):
            from_ns = self._plan.healing.get(connection)
            return "healing" if from_ns is not None and message.capture_ns >= from_ns else None
        return None

    def _is_lost(self, message: Message) -> bool:
        if message.answers:
            # Losing it would hide another fault.
            self._left_to_lose = 0
            return False
        may_begin = not self._left_to_lose and message.channel in _MARKET_CHANNELS
        if may_begin and (trigger := self._due("lost", message)):
            least, spread = _LOSSES[trigger.turn % len(_LOSSES)]
            self._losing, self._left_to_lose = message.connection, least + next(self._draws) % spread
        if not self._left_to_lose or message.connection != self._losing:
            return False
        self._left_to_lose -= 1
        return True

    def _is_dropped(self, message: Message) -> bool:
        if not self._left_to_drop and self._due("heartbeats", message):
            self._dropping, self._left_to_drop = message.connection, _BEATS_DROPPED
        if not self._left_to_drop or message.connection != self._dropping:
            return False
        self._left_to_drop -= 1
        return True

    def _garbled(self, message: Message, *, is_last: bool) -> Iterator[Line]:
        if not is_last and _can_be_garbled(message):
            if self._is_to_glue:
                self._held = message
                return
            trigger = self._due("garbage", message)
            if trigger is not None:
                yield from self._garbage(message, garbage.VARIANTS[trigger.turn % len(garbage.VARIANTS)])
                return
        yield self._whole(message)

    def _garbage(self, message: Message, variant: str) -> Iterator[Line]:
        draw = next(self._draws)
        match variant:
            case "glued":
                self._is_to_glue, self._held = True, message
            case "binary":
                yield self._rejected(garbage.binary(draw), variant, message)
                yield self._whole(message)
            case "broken":
                yield self._rejected(garbage.broken(self._text(message), draw), variant, message, message)
            case "wrong-types":
                wrong = message._replace(text=garbage.wrong_types(message.text, draw))
                yield self._rejected(self._text(wrong), variant, message, message)

    def _glued(self, held: Message, message: Message) -> Line:
        text = garbage.glued(self._text(held), self._text(message), next(self._draws))
        return self._rejected(text, "glued", message, held, message)

    def _rejected(self, text: str, variant: str, at: Message, *lost: Message) -> Line:
        fault = Fault("garbage", at.connection, variant, visible={"rejected-line"})
        return Line(text, at.capture_ns, None, self._log.garble(fault, *lost))

    def _cut(self, message: Message) -> Line:
        visible = {"cut-line", "damaged-segment"} if self._is_compressed else {"cut-line"}
        fault = Fault("cut-tail", message.connection, visible=visible)
        lost = () if message.sequence_num is None else (message,)
        text = garbage.first_part(self._text(message), next(self._draws))
        return Line(text, message.capture_ns, None, self._log.garble(fault, *lost), is_cut=True)

    def _whole(self, message: Message) -> Line:
        fault = self._set_clock(message)
        return Line(self._text(message), message.capture_ns, message, fault)

    def _set_clock(self, message: Message) -> Fault | None:
        if message.sequence_num is None or not shape_of(message.connection).enveloped:
            return None
        step_ns = 0
        if self._clock_offset_ns:
            if message.capture_ns >= self._clock_until_ns:
                step_ns = -self._clock_offset_ns
        elif self._due("clock-step", message):
            draw = next(self._draws)
            step_ns = (_LEAST_STEP_NS + (draw >> 1) % _STEP_SPREAD_NS) * (1 if draw & 1 else -1)
            self._clock_until_ns = message.capture_ns + _STEP_LASTS_NS
        self._clock_offset_ns += step_ns
        return self._log.step_clock(step_ns, message) if step_ns else None

    def _text(self, message: Message) -> str:
        shown = message._replace(capture_ns=message.capture_ns + self._clock_offset_ns)
        return shape_of(message.connection).line(shown)


def _can_be_garbled(message: Message) -> bool:
    return message.channel in _MARKET_CHANNELS and not is_snapshot(message)


def _follows(held: Message, message: Message) -> bool:
    assert held.sequence_num is not None  # noqa: S101 - for the type checker; only numbered messages are held
    return (
        message.connection == held.connection
        and message.sequence_num == held.sequence_num + 1
        and _can_be_garbled(message)
    )
