"""`etl-ray book-at`: the exact book at any instant."""

from __future__ import annotations

from decimal import Decimal
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.table import Table

from etl_ray.cli.report import results_console
from etl_ray.config import format_time

if TYPE_CHECKING:
    from etl_ray.orchestrators.book_at import BookAt, Level

_SHOWN_LEVELS = 10
_NOTHING = ("", "")


def book_at(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="The output of etl-ray run.")],
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="A product such as BTC-USD.")],
    time: Annotated[str, typer.Argument(metavar="TIME", help="An RFC 3339 time, a date, or ns since 1970.")],
    *,
    depth: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"Levels a side; {_SHOWN_LEVELS} if left out, with --json all."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead.")] = False,
) -> None:
    """Show the order book of PRODUCT as it was at TIME.

    It is the book behind the last message that the venue had sent by then, rebuilt from OUTPUT, with its state seen
    from the end of the recording.
    """
    import etl_ray

    if depth is None and not json:
        depth = _SHOWN_LEVELS
    found = etl_ray.book_at(output, product, time, depth)
    if json:
        typer.echo(orjson.dumps(found.as_dict()).decode())
    elif found.connection_id is None:
        _print_no_data(found)
    else:
        _print_book(found)


def _print_no_data(found: BookAt) -> None:
    causes = {
        "start": "the recording has nothing of it yet",
        "end": "the recording has ended",
        "connection_end": "its connection has ended",
        "silence": "its connection was silent",
    }
    since = "" if found.since is None else f" since {format_time(found.since)}"
    until = "" if found.until is None else f" until {format_time(found.until)}"
    why = f"{found.cause} ({causes[str(found.cause)]}){since}{until}"
    typer.echo(f"{found.product_id} at {format_time(found.ts)}: no data: {why}")


def _print_book(found: BookAt) -> None:
    console = results_console()
    console.print(f"{found.product_id} at {format_time(found.ts)}: {_state(found)}", soft_wrap=True)
    if found.ts_server is None:
        console.print("no message with a level yet")
        return
    table = Table()
    for heading in ("Bid size", "Bid", "Ask", "Ask size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for bid, ask in zip_longest(_texts(found.bids), _texts(found.asks), fillvalue=_NOTHING):
        table.add_row(bid[1], bid[0], ask[0], ask[1])
    console.print(table)
    console.print(
        f"Last message: {found.segment}:{found.line}, sequence_num {found.sequence_num}, "
        f"sent {format_time(found.ts_server)}, connection {found.connection_id}",
        soft_wrap=True,
    )


def _state(found: BookAt) -> str:
    if found.cause is None:
        return found.book_state
    cause = [] if found.cause == found.book_state else [found.cause]
    since = [] if found.since is None else [f"since {format_time(found.since)}"]
    return f"{found.book_state} ({', '.join([*cause, *since])})"


def _texts(levels: tuple[Level, ...]) -> list[tuple[str, str]]:
    """Return levels as text, with as many decimals as the finest of them."""
    prices, sizes = (_aligned([level[k] for level in levels]) for k in (0, 1))
    return list(zip(prices, sizes, strict=True))


def _aligned(values: list[Decimal]) -> list[str]:
    decimals = max((-int(value.as_tuple().exponent) for value in values), default=0)
    return [f"{value:,.{max(decimals, 0)}f}" for value in values]
