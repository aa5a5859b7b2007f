"""etl-ray: recorded market-data WebSocket messages in, research-grade Parquet tables out."""

from __future__ import annotations

__version__ = "0.1.0"
