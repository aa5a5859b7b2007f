"""The scales at which all values of a product are integers, and the greatest values at these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Scales:
    """The finest scales that were seen, and the greatest price and quantity as integers at these."""

    price_scale: int = 0
    quantity_scale: int = 0
    price: int = 0
    quantity: int = 0

    def see(self, *, price_scale: int, quantity_scale: int, price: int, quantity: int) -> None:
        """Take in values: the greatest ones at their own scales."""
        finest_price, finest_quantity = max(self.price_scale, price_scale), max(self.quantity_scale, quantity_scale)
        self.price = max(
            self.price * 10 ** (finest_price - self.price_scale), price * 10 ** (finest_price - price_scale)
        )
        self.quantity = max(
            self.quantity * 10 ** (finest_quantity - self.quantity_scale),
            quantity * 10 ** (finest_quantity - quantity_scale),
        )
        self.price_scale, self.quantity_scale = finest_price, finest_quantity
