"""What a run, or computing tables again, has done, in figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunSummary:
    """Figures of one run.

    `bytes` are unpacked bytes, `seconds` wall time, that of compiling left out. `rows` are per table, `messages` per
    wire channel. Lines add up: lines = accepted + ignored + out_of_range + blank + rejects. `damaged` says which
    segments ended early, `findings` what --strict objects to. `slow_lines` took the slow parser; `unknown_keys` were
    accepted and dropped. `unchanged` means that nothing was left to do. `removed` segments were archived or deleted,
    `segments_read` were read, since the others were known from before.
    """

    lines: int
    bytes: int
    seconds: float
    rows: dict[str, int]
    messages: dict[str, int]
    accepted: int
    rejects: int
    ignored: int
    out_of_range: int
    blank: int
    segments: int
    damaged: tuple[str, ...]
    slow_lines: int
    unknown_keys: int
    findings: tuple[str, ...]
    output: str
    run_id: str
    unchanged: bool
    removed: int = 0
    segments_read: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return all fields by name, ready for JSON."""
        return {
            "lines": self.lines,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "rows": dict(self.rows),
            "messages": dict(self.messages),
            "accepted": self.accepted,
            "rejects": self.rejects,
            "ignored": self.ignored,
            "out_of_range": self.out_of_range,
            "blank": self.blank,
            "segments": self.segments,
            "damaged": list(self.damaged),
            "slow_lines": self.slow_lines,
            "unknown_keys": self.unknown_keys,
            "findings": list(self.findings),
            "output": self.output,
            "run_id": self.run_id,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "segments_read": self.segments_read,
        }

    def exit_code(self, strict: bool) -> int:
        """Return 0, or 3 if a segment is damaged or `strict` and there are findings."""
        return 3 if self.damaged or (strict and self.findings) else 0


@dataclass(frozen=True)
class ReprocessSummary:
    """Figures of tables computed again: `rows` per table, `files`, wall time.

    `findings` say which products have no book. `unchanged`: nothing was left to do.
    """

    rows: dict[str, int]
    files: int
    seconds: float
    output: str
    run_id: str
    findings: tuple[str, ...]
    unchanged: bool

    def as_dict(self) -> dict[str, object]:
        """Return all fields by name, ready for JSON."""
        return {**vars(self), "rows": dict(self.rows), "findings": list(self.findings)}


@dataclass(frozen=True)
class CompactSummary:
    """Figures of files merged: `merged` files have become `written` ones, with `rows`, in manifest `number`.

    `files` are those of OUTPUT now. `unchanged`: there was nothing to merge, so nothing was committed.
    """

    merged: int
    written: int
    rows: int
    bytes_before: int
    bytes_after: int
    files: int
    seconds: float
    output: str
    run_id: str
    number: int
    unchanged: bool

    def as_dict(self) -> dict[str, object]:
        """Return all fields by name, ready for JSON."""
        return dict(vars(self))
