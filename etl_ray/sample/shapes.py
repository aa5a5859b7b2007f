"""The variants in which venues and collectors write the same message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from etl_ray.sample.clock import capture_text, server_text

# Error frames name no channel; they are counted under this word.
ERROR = "error"


class Message(NamedTuple):
    """One message as a collector received it: the unit that is lost, repeated or delayed as a whole.

    `connection` counts from 0, `sequence_num` is None for error frames, `text` is the bare message. `answers` says what
    this is the first answer to; `server_offset_ns` is what its timestamp is off by.
    """

    connection: int
    channel: str
    sequence_num: int | None
    capture_ns: int
    text: str
    answers: Literal["", "subscription", "resubscription"] = ""
    server_offset_ns: int = 0


@dataclass(frozen=True)
class Shape:
    """State how one connection's messages are written.

    `enveloped` lines carry the collector's time and, with `metadata`, its source; `data_first` puts the message before
    them. `spaced` is the spacing of Python's json module. `documented` is the key order and the heartbeat counter (a
    string) of the venue's documentation, with `client_id`; otherwise those of the live feed. `zero_time` is the event
    time of snapshots, `newest_first` the order of trades in an update.
    """

    enveloped: bool = True
    metadata: bool = True
    data_first: bool = False
    spaced: bool = False
    documented: bool = False
    newest_first: bool = False
    zero_time: str = "1970-01-01T00:00:00Z"

    def respace(self, compact: str) -> str:
        """Return compact JSON, or a piece of it, in the spacing of this shape; no string in it may look like JSON."""
        if not self.spaced:
            return compact
        return compact.replace('":', '": ').replace(',"', ', "').replace("},{", "}, {")

    def message(self, channel: str, events: str, *, server_ns: int, sequence_num: int) -> str:
        """Return the bare message around `events`, which are already spaced."""
        client_id = '"client_id":"",' if self.documented else ""
        head = (
            f'{{"channel":"{channel}",{client_id}"timestamp":"{server_text(server_ns)}",'
            f'"sequence_num":{sequence_num},"events":['
        )
        return f"{self.respace(head)}{events}]}}"

    def line(self, message: Message) -> str:
        """Return the segment line of a message, with its line end."""
        if not self.enveloped:
            return f"{message.text}\n"
        capture = f'"capture_ts":"{capture_text(message.capture_ns)}"'
        metadata = f',"metadata":{{"source":"coinbase","channel":"{message.channel}"}}' if self.metadata else ""
        if self.data_first:
            before, after = '{"data":', f",{capture}{metadata}}}"
        else:
            before, after = f'{{{capture},"data":', f"{metadata}}}"
        return f"{self.respace(before)}{message.text}{self.respace(after)}\n"


# Connection n is written in shape n, from the start again past the last.
SHAPES = (
    Shape(),
    Shape(spaced=True, documented=True, newest_first=True, zero_time="0001-01-01T00:00:00Z"),
    Shape(enveloped=False),
    Shape(metadata=False, data_first=True, newest_first=True),
    Shape(enveloped=False, documented=True, zero_time="0001-01-01T00:00:00Z"),
)


def shape_of(connection: int) -> Shape:
    """Return the shape of a connection."""
    return SHAPES[connection % len(SHAPES)]
