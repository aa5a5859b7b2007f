"""The venue's end of one connection and the collector's: numbers, clocks and spelling of its messages."""

from __future__ import annotations

from etl_ray.sample.draws import raw_draws
from etl_ray.sample.options import NS_PER_S
from etl_ray.sample.sessions import ServerStep
from etl_ray.sample.shapes import ERROR, Message, Shape


class Sender:
    """Number messages from 0 and time them: but for `server_step`, neither server nor capture time ever steps back.

    Messages wait in `outbox` until they are taken.
    """

    def __init__(self, connection: int, shape: Shape, *, seed: int, server_step: ServerStep | None = None) -> None:
        self._connection = connection
        self._shape = shape
        self._server_step = server_step
        self._draws = raw_draws(seed, connection)
        self._sequence_num = 0
        self._server_ns = self._capture_ns = 0
        self.outbox: list[Message] = []

    def send(self, channel: str, events: str, *, at_ns: int, on_the_second: bool = False) -> None:
        """Send compact `events` at `at_ns` or just after the message before.

        With `on_the_second` some are received exactly on the next whole second: it must be near.
        """
        self.send_spaced(channel, self._shape.respace(events), at_ns=at_ns, on_the_second=on_the_second)

    def send_spaced(self, channel: str, events: str, *, at_ns: int, on_the_second: bool = False) -> None:
        """Send `events` that already have the spacing of the shape."""
        raw = next(self._draws)
        # A message that waits for the one before it follows within 0.3 ms.
        self._server_ns = max(at_ns, self._server_ns + 1 + (raw & 0x3FFFF))
        offset_ns = 0 if self._server_step is None else self._server_step.offset_ns(self._server_ns)
        text = self._shape.message(
            channel, events, server_ns=self._server_ns + offset_ns, sequence_num=self._sequence_num
        )
        self._receive(channel, self._sequence_num, text, raw=raw, on_the_second=on_the_second)
        if offset_ns:
            self.outbox[-1] = self.outbox[-1]._replace(server_offset_ns=offset_ns)
        self._sequence_num += 1

    def send_error(self, reason: str, *, at_ns: int) -> None:
        """Send an error frame, which has neither channel, time nor number."""
        self._server_ns = max(at_ns, self._server_ns)
        text = self._shape.respace(f'{{"type":"error","message":"{reason}"}}')
        self._receive(ERROR, None, text, raw=next(self._draws), on_the_second=False)

    def _receive(self, channel: str, sequence_num: int | None, text: str, *, raw: int, on_the_second: bool) -> None:
        latency_us = 4000 + (raw >> 18 & 0x1FFF)
        if raw >> 32 & 0xFF == 0:
            latency_us *= 8
        capture_ns = (self._server_ns // 1000 + latency_us) * 1000
        if on_the_second and raw >> 40 & 3 == 0:
            capture_ns = -(-capture_ns // NS_PER_S) * NS_PER_S
        # What was received later is never written before: a slow message holds up those behind it.
        self._capture_ns = max(self._capture_ns, capture_ns)
        self.outbox.append(Message(self._connection, channel, sequence_num, self._capture_ns, text))
