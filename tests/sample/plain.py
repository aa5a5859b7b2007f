"""What a subscriber would make of a recording, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from .strict import Line, ns


class PlainBook:
    """A book of dicts: what a subscriber would know."""

    def __init__(self) -> None:
        self.levels: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "offer": {}}
        self.unknown_removals = 0

    def apply(self, event: dict) -> bool:
        """Apply an event; tell whether it changed anything."""
        if event["type"] == "snapshot":
            self.levels = {"bid": {}, "offer": {}}
        changed = False
        for update in event["updates"]:
            side = self.levels[update["side"]]
            price, size = Decimal(update["price_level"]), Decimal(update["new_quantity"])
            if size == 0:
                known = side.pop(price, None) is not None
                self.unknown_removals += not known
                changed = changed or known
            else:
                changed = changed or side.get(price) != size
                side[price] = size
        return changed

    def best(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        bid, ask = max(self.levels["bid"]), min(self.levels["offer"])
        return bid, self.levels["bid"][bid], ask, self.levels["offer"][ask]


def events_of(lines: list[Line], channel: str) -> list[tuple[Line, dict]]:
    return [(line, event) for line in lines if line.channel == channel for event in line.message["events"]]


def delivered_trades(lines: list[Line]) -> dict[str, dict[int, dict]]:
    """Collect each product's trades by id; copies must be equal."""
    trades: dict[str, dict[int, dict]] = defaultdict(dict)
    for _, event in events_of(lines, "market_trades"):
        for trade in event["trades"]:
            known = trades[trade["product_id"]].setdefault(int(trade["trade_id"]), trade)
            assert known == trade
    return trades


class PlainTape:
    """What the trades of one product amount to, up to a time."""

    def __init__(self, by_id: dict[int, dict]) -> None:
        self._coming = [by_id[trade_id] for trade_id in sorted(by_id)][::-1]
        self.traded = Decimal(0)
        self.prices: list[Decimal] = []
        self.last: dict = {}

    def run(self, until_ns: int) -> None:
        while self._coming and ns(self._coming[-1]["time"]) <= until_ns:
            self.last = self._coming.pop()
            self.traded += Decimal(self.last["size"])
            self.prices.append(Decimal(self.last["price"]))
