"""The independent truth: docs/semantics.md once more, slow, plain and sharing no code with etl_ray but the columns.

Nothing here may import from etl_ray anything but etl_ray.tables: where the job and this reference agree, two readings
of the contract agree.
"""

from __future__ import annotations

from tests.reference.run import Counts, Reference, reference
from tests.reference.segments import read_segments

__all__ = ["Counts", "Reference", "read_segments", "reference"]
