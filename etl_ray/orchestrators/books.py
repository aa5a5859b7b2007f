"""The books of a run: what is planned for each product from metadata, and which products have no book."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from etl_ray.book.updates import MAX_PRICE
from etl_ray.coverage.states import book_states
from etl_ray.coverage.timeline import Timeline
from etl_ray.orchestrators.book_plans import BookPlan, BookUnit, Carrier
from etl_ray.orchestrators.cuts import Cuts
from etl_ray.orchestrators.receipts import BookReceipt, Receipt
from etl_ray.orchestrators.scales import Scales
from etl_ray.orchestrators.staged_books import MAX_QUANTITY
from etl_ray.orchestrators.stitch import Stitched


@dataclass
class ProductScales(Scales):
    """The scales of a product over all units; `overflow`: it has values that do not fit 64 bits at these."""

    overflow: bool = False

    def add(self, found: BookReceipt) -> None:
        """Take in what a unit says."""
        self.see(
            price_scale=found.price_scale,
            quantity_scale=found.quantity_scale,
            price=found.price_max,
            quantity=found.quantity_max,
        )
        self.overflow |= found.overflow or self.price > MAX_PRICE or self.quantity > MAX_QUANTITY


@dataclass(frozen=True)
class BookPlans:
    """The plans of all products that have a book, and why others have none."""

    plans: tuple[BookPlan, ...]
    refused: tuple[str, ...]


def plan_books(receipts: Iterable[Receipt], stitched: Stitched, l2_channel: int, cuts: Cuts) -> BookPlans:
    """Plan the books of a run, cut where they were cut before; `l2_channel` is the code of the channel of levels."""
    scales = product_scales(receipts)
    plans: list[BookPlan] = []
    refused: list[str] = []
    for product, units in sorted(stitched.book_units.items()):
        known = scales[product]
        if known.overflow:
            refused.append(
                f"{product} has no book: expected prices and quantities that fit 64 bits as integers at one scale, "
                "found both very large ones and very fine ones; its rows are in level2"
            )
            continue
        carriers = _carriers(stitched.timeline, product, l2_channel)
        plans.append(
            BookPlan(
                product=product,
                index=len(plans),
                price_scale=known.price_scale,
                quantity_scale=known.quantity_scale,
                units=tuple(units),
                carriers=carriers,
                brought=tuple(sorted(carrier.first for carrier in carriers)),
                begins=_of_units(cuts.book_begins, units),
                ends=_of_units(cuts.book_ends, units),
            )
        )
    return BookPlans(tuple(plans), tuple(refused))


def _of_units(stretches: Mapping[str, tuple[str, ...]], units: Iterable[BookUnit]) -> tuple[str, ...]:
    return tuple(stretch for unit in units for stretch in stretches.get(unit.name, ()))


def product_scales(receipts: Iterable[Receipt]) -> dict[str, ProductScales]:
    """Return the scales of all products of the units that these receipts are of."""
    scales: dict[str, ProductScales] = {}
    for receipt in receipts:
        for found in receipt.book.products if receipt.book else ():
            scales.setdefault(found.product, ProductScales()).add(found)
    return scales


def _carriers(timeline: Timeline, product: str, l2_channel: int) -> tuple[Carrier, ...]:
    ends = timeline.ends()
    return tuple(
        Carrier(
            connection=index,
            id=record.id,
            first=record.first[l2_channel, product].place,
            last=ends[index].last.place,
            states=book_states((edge.place for edge in record.snapshots.get(product, ())), record.holes.found),
            silences=tuple((before.ts, behind.ts) for before, behind in record.silences),
            silent_places=tuple((before.place, behind.place) for before, behind in record.silences),
        )
        for index, record in enumerate(timeline.connections)
        if (l2_channel, product) in record.first
    )
