"""Follow a recording as it is written, and tell what has befallen it."""

from __future__ import annotations

import json
import re
from collections import defaultdict

from etl_ray.sample.fault_plan import FaultPlan
from etl_ray.sample.faults import Fault
from etl_ray.sample.shapes import Message

# Snapshots hold the last 100 trades of a product: older ones need not be remembered.
_REMEMBERED_TRADES = 4096
_PRODUCT = re.compile(r'"(?:product_id|id)": ?("[^"]*")')
_SNAPSHOT = re.compile(r'"type": ?"snapshot"')
_HEAD_CHARS = 300
_PRIVATE = "user"


class FaultLog:
    """Tell of every message what became of it, in order of arrival: `lose` or `garble` it, or it was `written`."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self.faults: list[Fault] = []
        self._outage_ends_ns = [until_ns for _, until_ns in plan.outages]
        self._connections: dict[int, Fault] = {}
        self._losses: defaultdict[int, list[Fault]] = defaultdict(list)
        self._resubscribed: dict[int, Fault] = {}
        self._server_offsets_ns: dict[int, int] = {}
        self._books = _Books()
        self._trades = _Trades()

    def lose(self, kind: str, message: Message) -> None:
        """Note the loss of a message; losses of one kind that follow each other are one fault."""
        losses = self._losses[message.connection]
        if not (losses and losses[-1].kind == kind and losses[-1].last_sequence_num == _number(message) - 1):
            losses.append(self._added(Fault(kind, message.connection)))
        self._count_lost(losses[-1], message)

    def garble(self, fault: Fault, *messages: Message) -> Fault:
        """Note a line of garbage that stands for `messages`, which may be none."""
        self._added(fault)
        for message in messages:
            self._count_lost(fault, message)
            if fault.kind != "cut-tail":
                self._losses[message.connection].append(fault)
        return fault

    def step_clock(self, step_ns: int, message: Message) -> Fault:
        """Note that the collector's clock was set before `message`."""
        fault = Fault("clock-step", message.connection, "capture", step_ns=step_ns, visible={"clock-step"})
        fault.first_sequence_num = fault.last_sequence_num = message.sequence_num
        return self._added(fault)

    def written(self, message: Message, segment: str, line: int) -> None:
        """Note a message that stands whole in a line."""
        if message.sequence_num is None:
            return
        noted = len(self.faults)
        self._see_connection(message)
        self._see_hole(message, segment, line)
        self._see_server_clock(message)
        if message.answers == "resubscription" or message.connection in self._resubscribed:
            self._see_resubscription(message)
        if message.channel == "market_trades":
            self._see_trades(message)
        elif message.channel == "l2_data":
            for product, fault in self._books.see(message):
                fault.books_missing.add(product)
                fault.visible.add("no-snapshot")
                fault.show(segment, line)
                if fault.kind == "no-snapshot":
                    fault.first_sequence_num = fault.last_sequence_num = message.sequence_num
        for fault in self.faults[noted:]:
            if fault.kind != "no-snapshot":
                fault.show(segment, line)

    def _added(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def _count_lost(self, fault: Fault, message: Message) -> None:
        products = _products(message)
        fault.count(_number(message), message.channel, products)
        if message.channel == "market_trades":
            for product, ids in _trade_ids(message).items():
                fault.trades_lost[product] |= self._trades.unseen(product, ids)
        elif message.channel == "l2_data" and is_snapshot(message):
            for product in products:
                self._books.miss(message.connection, product, fault)

    def _see_connection(self, message: Message) -> None:
        number = message.connection
        if number not in self._connections:
            if self._outage_ends_ns and message.capture_ns >= self._outage_ends_ns[0]:
                del self._outage_ends_ns[0]
                self._trades.outage = self._added(Fault("down", number, visible={"silence", "new-connection"}))
                self._trades.unheard = set(self._trades.highest)
            self._connections[number] = self._added(Fault("connection", number, visible={"new-connection"}))
            if number in self.plan.bookless:
                fault = self._added(Fault("no-snapshot", number, products={self.plan.bookless[number]}))
                self._books.miss(number, self.plan.bookless[number], fault)
        self._connections[number].count(_number(message), message.channel, ())

    def _see_hole(self, message: Message, segment: str, line: int) -> None:
        losses = self._losses[message.connection]
        for fault in losses:
            is_explained = set(fault.channels) == {"heartbeats"}
            fault.visible.add("explained-hole" if is_explained else "hole")
            fault.show(segment, line)
        losses.clear()

    def _see_server_clock(self, message: Message) -> None:
        step_ns = message.server_offset_ns - self._server_offsets_ns.get(message.connection, 0)
        if step_ns:
            self._server_offsets_ns[message.connection] = message.server_offset_ns
            fault = Fault("server-step", message.connection, "server", step_ns=step_ns, visible={"clock-step"})
            fault.first_sequence_num = fault.last_sequence_num = message.sequence_num
            self._added(fault)

    def _see_resubscription(self, message: Message) -> None:
        if message.answers == "resubscription":
            fault = Fault("resubscribed", message.connection, message.channel, visible={"new-snapshot"})
            self._resubscribed[message.connection] = self._added(fault)
        fault = self._resubscribed[message.connection]
        if message.channel == "subscriptions" or (message.channel == fault.detail and is_snapshot(message)):
            fault.count(_number(message), message.channel, _products(message))
        if message.channel == "subscriptions":
            del self._resubscribed[message.connection]

    def _see_trades(self, message: Message) -> None:
        for product, ids in _trade_ids(message).items():
            unseen, is_known = self._trades.unseen(product, ids), product in self._trades.highest
            self._trades.see(product, ids)
            if is_known and is_snapshot(message):
                fault = Fault("trade-snapshot", message.connection)
                fault.count(_number(message), message.channel, (product,))
                fault.trades_repeated[product] = ids - unseen
                fault.trades_healed[product] = unseen
                fault.visible |= {"duplicate-trades"} if ids - unseen else set()
                fault.visible |= {"healed-trades"} if unseen else set()
                self._added(fault)


class _Books:
    """Which books each connection has not sent, and the faults that are to blame."""

    def __init__(self) -> None:
        self._sent: defaultdict[int, set[str]] = defaultdict(set)
        self._missing: defaultdict[int, dict[str, Fault]] = defaultdict(dict)

    def miss(self, connection: int, product: str, fault: Fault) -> None:
        """Note that a snapshot does not arrive."""
        if product not in self._sent[connection]:
            self._missing[connection][product] = fault

    def see(self, message: Message) -> list[tuple[str, Fault]]:
        """Return the products of an l2_data message whose book is missing, with the faults that it makes visible."""
        missing = self._missing[message.connection]
        if is_snapshot(message):
            self._sent[message.connection].update(_products(message))
            for product in _products(message):
                missing.pop(product, None)
            return []
        found = sorted(_products(message) & missing.keys()) if missing else []
        return [(product, missing.pop(product)) for product in found]


class _Trades:
    """Which trades have been delivered. After an outage, trades between the last and the next ones are its loss."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, set[int]] = defaultdict(set)
        self.highest: dict[str, int] = {}
        self.outage: Fault | None = None
        self.unheard: set[str] = set()

    def unseen(self, product: str, ids: set[int]) -> set[int]:
        """Return those of `ids` that were not delivered."""
        return ids - self._seen[product]

    def see(self, product: str, ids: set[int]) -> None:
        """Note trades that are delivered."""
        if product in self.unheard and self.outage is not None:
            self.unheard.remove(product)
            lost = set(range(self.highest[product] + 1, min(ids)))
            if lost:
                self.outage.products.add(product)
                self.outage.trades_lost[product] = lost
        seen = self._seen[product]
        seen |= ids
        self.highest[product] = max(seen)
        if len(seen) > 2 * _REMEMBERED_TRADES:
            self._seen[product] = {one for one in seen if one > self.highest[product] - _REMEMBERED_TRADES}


def is_snapshot(message: Message) -> bool:
    """Tell whether the first event of a message is a snapshot."""
    return _SNAPSHOT.search(message.text, 0, _HEAD_CHARS) is not None


def _number(message: Message) -> int:
    assert message.sequence_num is not None  # noqa: S101 - for the type checker; error frames are never lost
    return message.sequence_num


def _products(message: Message) -> set[str]:
    if message.channel == _PRIVATE:
        return set()
    return {json.loads(name) for name in _PRODUCT.findall(message.text)}


def _trade_ids(message: Message) -> dict[str, set[int]]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for event in json.loads(message.text)["events"]:
        for trade in event["trades"]:
            found[trade["product_id"]].add(int(trade["trade_id"]))
    return found
