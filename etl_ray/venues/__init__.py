"""The venues whose recordings can be read: one file each."""

from __future__ import annotations

from etl_ray.venues.coinbase import COINBASE
from etl_ray.venues.shapes import Venue

VENUES: dict[str, Venue] = {venue.name: venue for venue in (COINBASE,)}
"""All venues by name."""

__all__ = ["VENUES", "Venue"]
