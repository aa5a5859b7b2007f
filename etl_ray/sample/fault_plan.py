"""When which fault befalls a recording: a function of the options.

All cycles of about two minutes have the same slots. Faults that need a new connection bring one; a collector that is
down makes the recording longer by the time that is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from etl_ray.sample.draws import raw_draws
from etl_ray.sample.options import NS_PER_S, SampleOptions
from etl_ray.sample.sessions import NS_PER_MS, Lane, Quirks, ServerStep, Session, pause_ns, plan_lanes
from etl_ray.sample.shapes import shape_of

_CYCLE_NS = 120 * NS_PER_S
# Thousandths of a cycle. Nothing happens before the first, nor from some 420 to 490.
_SLOTS = (
    (100, "lost"),
    (150, "garbage"),
    (200, "resubscribed"),
    (250, "heartbeats"),
    (310, "garbage"),
    (340, "lost"),
    (390, "healing"),
    (490, "clock-step"),
    (560, "no-snapshot"),
    (610, "garbage"),
    (660, "discarded"),
    (720, "lost"),
    (800, "garbage"),
    (850, "down"),
    (930, "lost"),
)
_RECONNECTING = ("healing", "no-snapshot", "discarded", "down")
_BY_COLLECTOR = ("lost", "garbage", "heartbeats", "clock-step")
# Connections do not begin or end nearer to each other than this.
_APART_NS = 2 * NS_PER_S
# Around a midnight at which the clock steps there is no other fault, and room for one before a connection ends.
_BEFORE_MIDNIGHT_NS, _AFTER_MIDNIGHT_NS = 5 * NS_PER_S, 9 * NS_PER_S
_LEAST_OUTAGE_S, _OUTAGE_SPREAD_S = 120, 120
_RESTART_STAGGER_NS, _MOST_STAGGER_NS = 300 * NS_PER_MS, 1500 * NS_PER_MS
# In this time a connection has messages, also after it begins and before it pauses.
_SEEN_NS = 3 * NS_PER_S // 2
_HEALING_NS = 5 * NS_PER_S
# Long enough for the messages that come each second, and back far enough for the other day.
_STEP_AFTER_NS, _STEP_LASTS_NS, _LEAST_STEP_MS, _STEP_SPREAD_MS = 100 * NS_PER_MS, 3 * NS_PER_S, 1200, 700


@dataclass(frozen=True)
class Trigger:
    """Something a collector does at `at_ns`, or at the first occasion after it; `turn` counts its kind in a cycle."""

    kind: str
    at_ns: int
    turn: int


@dataclass(frozen=True)
class FaultPlan:
    """All that will go wrong.

    `triggers` are in order of time. `discarding` connections lose the first answer to every subscription, `healing`
    ones their trades from a time on, and of a `bookless` one the product is given. `outages` are (from, until), and
    from the first to the last of `quiet_ns` no trigger is pulled.
    """

    lanes: tuple[Lane, ...]
    triggers: tuple[Trigger, ...]
    discarding: frozenset[int]
    healing: Mapping[int, int]
    bookless: Mapping[int, str]
    outages: tuple[tuple[int, int], ...]
    quiet_ns: tuple[int, int]


@dataclass(frozen=True)
class _Slot:
    """A fault and its place in recorded time, which stands still while the collector is down."""

    kind: str
    at_ns: int
    turn: int
    draw: int
    is_in_last_cycle: bool

    @property
    def outage_ns(self) -> int:
        return (_LEAST_OUTAGE_S + self.draw % _OUTAGE_SPREAD_S) * NS_PER_S if self.kind == "down" else 0


@dataclass
class _Draft:
    """A connection of a lane, and the faults that make it begin and end."""

    lane: int
    start_ns: int
    end_ns: int
    pause_ns: int
    begun_by: _Slot | None
    ended_by: _Slot | None
    resubscribe_ns: list[int] = field(default_factory=list)
    server_step: ServerStep | None = None


def plan_faults(options: SampleOptions) -> FaultPlan:
    """Plan the faults that `options`, which must be valid, ask for."""
    slots = [slot for slot in _slots(options) if slot.kind in options.faults]
    breaks = _settled([slot for slot in slots if slot.kind in _RECONNECTING], options)
    time = _RecordedTime(options.start_ns, [slot for slot in breaks if slot.outage_ns])
    clean = plan_lanes(options)
    drafts: list[_Draft] = []
    for index, lane in enumerate(clean):
        mine = [slot for slot in breaks if slot.outage_ns or slot.draw % len(clean) == index]
        drafts += _drafts(options, lane, index, breaks=mine, time=time)
    drafts.sort(key=lambda draft: (draft.start_ns, draft.lane))
    for slot in slots:
        if slot.kind == "resubscribed":
            _resubscribe(drafts, lane=slot.draw % len(clean), at_ns=time.real_ns(slot.at_ns))
    if "server-step" in options.faults:
        _step_server(drafts, options)
    return _compiled(
        options,
        clean,
        drafts,
        triggers=[
            Trigger(slot.kind, _occasion_ns(slot.kind, time.real_ns(slot.at_ns), drafts, options), slot.turn)
            for slot in slots
            if slot.kind in _BY_COLLECTOR
        ],
        outages=[(time.real_ns(slot.at_ns), time.real_ns(slot.at_ns) + slot.outage_ns) for slot in time.outages],
    )


class _RecordedTime:
    """Turn recorded time into real time: what is at an outage is before it."""

    def __init__(self, start_ns: int, outages: Sequence[_Slot]) -> None:
        self._start_ns = start_ns
        self.outages = outages

    def real_ns(self, at_ns: int) -> int:
        return self._start_ns + at_ns + sum(slot.outage_ns for slot in self.outages if slot.at_ns < at_ns)


def _slots(options: SampleOptions) -> list[_Slot]:
    draws = raw_draws(options.seed, 0, 0, 7)
    cycles = max(1, options.duration_ns // _CYCLE_NS)
    cycle_ns = options.duration_ns // cycles
    slots = []
    for cycle in range(cycles):
        turns: dict[str, int] = {}
        for share, kind in _SLOTS:
            draw = next(draws)
            at_ns = cycle * cycle_ns + cycle_ns * share // 1000 + (draw >> 32) % (cycle_ns // 50)
            turns[kind] = turns.get(kind, -1) + 1
            slots.append(_Slot(kind, at_ns, turns[kind], draw, is_in_last_cycle=cycle + 1 == cycles))
    return slots


def _settled(breaks: Iterable[_Slot], options: SampleOptions) -> list[_Slot]:
    """Keep breaks apart from each other, and from midnight if the clock is to step back there."""
    settled: list[_Slot] = []
    earliest_ns, outages_ns = _APART_NS, 0
    for slot in breaks:
        at_ns = max(slot.at_ns, earliest_ns)
        if "server-step" in options.faults:
            midnight_ns = options.midnight_ns - options.start_ns - outages_ns
            hides_midnight = slot.outage_ns and at_ns <= midnight_ns < at_ns + slot.outage_ns + _BEFORE_MIDNIGHT_NS
            if hides_midnight and not slot.is_in_last_cycle:
                continue
            if hides_midnight or -_BEFORE_MIDNIGHT_NS < at_ns - midnight_ns < _AFTER_MIDNIGHT_NS:
                at_ns = midnight_ns + _AFTER_MIDNIGHT_NS
        settled.append(replace(slot, at_ns=at_ns))
        earliest_ns = at_ns + _APART_NS
        outages_ns += slot.outage_ns
    return settled


def _quiet_ns(options: SampleOptions) -> tuple[int, int]:
    if "server-step" not in options.faults:
        return 0, 0
    return options.midnight_ns - _BEFORE_MIDNIGHT_NS, options.midnight_ns + _AFTER_MIDNIGHT_NS


def _drafts(
    options: SampleOptions, lane: Lane, index: int, *, breaks: Sequence[_Slot], time: _RecordedTime
) -> list[_Draft]:
    """Cut a lane where faults do, and elsewhere where it was cut before."""
    draws = raw_draws(options.seed, 0, index, 8)
    cuts: list[tuple[int, int, _Slot | None]] = [
        (slot.at_ns, 0 if slot.outage_ns else pause_ns(next(draws)), slot) for slot in breaks
    ]
    for session in lane.sessions[:-1]:
        at_ns = session.end_ns - options.start_ns
        first_ns, last_ns = _quiet_ns(options)
        if not first_ns < time.real_ns(at_ns) < last_ns and all(
            abs(at_ns - slot.at_ns) >= _APART_NS for slot in breaks
        ):
            cuts.append((at_ns, session.pause_ns, None))
    drafts = []
    start_ns, begun_by = lane.sessions[0].start_ns, None
    for at_ns, pause, slot in sorted(cuts, key=lambda cut: cut[0]):
        end_ns = time.real_ns(at_ns)
        drafts.append(_Draft(index, start_ns, end_ns, pause, begun_by, slot))
        start_ns, begun_by = end_ns, slot
        if slot is not None and slot.outage_ns:
            start_ns += slot.outage_ns + min(index * _RESTART_STAGGER_NS, _MOST_STAGGER_NS)
    return [*drafts, _Draft(index, start_ns, time.real_ns(options.duration_ns), 0, begun_by, None)]


def _occasion_ns(kind: str, at_ns: int, drafts: Sequence[_Draft], options: SampleOptions) -> int:
    """Return `at_ns`, or if a clock would step there unseen the nearest time at which lines show the clock."""
    if kind != "clock-step":
        return at_ns
    quiet = _quiet_ns(options)
    spans = [
        span
        for number, draft in enumerate(drafts)
        if shape_of(number).enveloped
        for span in ((draft.start_ns, min(draft.end_ns, quiet[0])), (max(draft.start_ns, quiet[1]), draft.end_ns))
        if span[1] - span[0] >= 2 * _SEEN_NS
    ]
    occasions = [min(max(at_ns, start_ns + _SEEN_NS // 2), end_ns - _SEEN_NS) for start_ns, end_ns in spans]
    return min(occasions, key=lambda occasion_ns: abs(occasion_ns - at_ns))


def _resubscribe(drafts: Iterable[_Draft], *, lane: int, at_ns: int) -> None:
    draft = next(draft for draft in drafts if draft.lane == lane and at_ns < draft.end_ns)
    # Late enough to be subscribed, and early enough to be answered.
    latest_ns = draft.end_ns - draft.pause_ns - NS_PER_S // 2
    draft.resubscribe_ns.append(max(draft.start_ns + NS_PER_S // 2, min(at_ns, latest_ns)))


def _step_server(drafts: Iterable[_Draft], options: SampleOptions) -> None:
    draw = next(raw_draws(options.seed, 0, 0, 9))
    from_ns = options.midnight_ns + _STEP_AFTER_NS
    step = ServerStep(from_ns, from_ns + _STEP_LASTS_NS, (_LEAST_STEP_MS + draw % _STEP_SPREAD_MS) * NS_PER_MS)
    for draft in drafts:
        if draft.lane == 0 and draft.start_ns < from_ns < draft.end_ns:
            draft.server_step = step


def _healing_from_ns(draft: _Draft) -> int:
    last_ns = draft.end_ns - draft.pause_ns
    from_ns = last_ns - min(_HEALING_NS, (last_ns - draft.start_ns) // 2)
    return from_ns if draft.server_step is None else max(from_ns, draft.server_step.until_ns + NS_PER_S)


def _compiled(
    options: SampleOptions,
    lanes: Sequence[Lane],
    drafts: Sequence[_Draft],
    *,
    triggers: Iterable[Trigger],
    outages: Iterable[tuple[int, int]],
) -> FaultPlan:
    sessions: list[list[Session]] = [[] for _ in lanes]
    discarding: set[int] = set()
    healing: dict[int, int] = {}
    bookless: dict[int, str] = {}
    for number, draft in enumerate(drafts):
        begun_by, ended_by = draft.begun_by, draft.ended_by
        products = lanes[draft.lane].products
        bookless_market = None
        if begun_by is not None and begun_by.kind == "no-snapshot":
            bookless_market = (begun_by.draw >> 8) % len(products)
            bookless[number] = options.products[products[bookless_market]]
        if begun_by is not None and begun_by.kind == "discarded":
            discarding.add(number)
        if ended_by is not None and ended_by.kind == "healing":
            healing[number] = _healing_from_ns(draft)
        sessions[draft.lane].append(
            Session(
                number,
                draft.start_ns,
                draft.end_ns,
                pause_ns=draft.pause_ns,
                after_outage=begun_by is not None and begun_by.outage_ns > 0,
                quirks=Quirks(tuple(draft.resubscribe_ns), bookless_market, draft.server_step),
            )
        )
    return FaultPlan(
        lanes=tuple(replace(lane, sessions=tuple(mine)) for lane, mine in zip(lanes, sessions, strict=True)),
        triggers=tuple(sorted(triggers, key=lambda trigger: trigger.at_ns)),
        discarding=frozenset(discarding),
        healing=healing,
        bookless=bookless,
        outages=tuple(outages),
        quiet_ns=_quiet_ns(options),
    )
