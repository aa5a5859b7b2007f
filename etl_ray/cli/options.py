"""The options of a run, and the config that they and a file make up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from etl_ray.config import CHANNELS, JobConfig, channel_name, load_config
from etl_ray.errors import ConfigError
from etl_ray.tables import Numbers

Engine = Literal["auto", "local", "ray"]
After = Literal["keep", "archive", "delete"]

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML config; the options below override it.")
]
ChannelsOption = Annotated[
    list[str] | None,
    typer.Option("--channels", metavar="NAMES", help=f"Only these channels, of: {', '.join(CHANNELS)}."),
]
ProductsOption = Annotated[
    list[str] | None, typer.Option("--products", metavar="NAMES", help="Only these products, such as BTC-USD,ETH-USD.")
]
StartOption = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="Only rows sent by the venue from this date or RFC 3339 time on."),
]
EndOption = Annotated[
    str | None, typer.Option("--end", metavar="TIME", help="Only rows sent before this date or RFC 3339 time.")
]
EngineOption = Annotated[
    Engine | None,
    typer.Option("--engine", help="local: in this process. ray: on Ray. auto: a running cluster, else what fits."),
]
AddressOption = Annotated[str | None, typer.Option("--address", metavar="ADDRESS", help="Ray cluster to use.")]
NumbersOption = Annotated[
    Numbers | None, typer.Option("--numbers", help="How prices and quantities are stored: decimal is exact.")
]
BooksOption = Annotated[
    bool | None, typer.Option("--books/--no-books", help="Rebuild the order books of level2 (the default), or not.")
]
BarsOption = Annotated[
    list[str] | None,
    typer.Option("--bars", metavar="KINDS", help="Bars to build, such as 1s,5m or tick:1000, volume:10.5, dollar:500."),
]
TradesWithBookOption = Annotated[
    bool | None,
    typer.Option("--join-books", help="Put the book beside each trade: the table trades_with_book."),
]
FeaturesOption = Annotated[
    str | None, typer.Option("--features", metavar="LENGTH", help="Features by interval, such as 1s.")
]
StrictOption = Annotated[
    bool | None, typer.Option("--strict/--no-strict", help="Exit with 3 if the input leaves any doubt.")
]
OverwriteOption = Annotated[
    bool | None, typer.Option("--overwrite/--no-overwrite", help="Replace what OUTPUT holds of another config.")
]
BreakLockOption = Annotated[
    bool | None,
    typer.Option("--break-lock/--no-break-lock", help="Take the lock of a run that is gone, or that must not go on."),
]
AfterOption = Annotated[
    After | None,
    typer.Option("--after", help="What becomes of segments that are committed and settled, the newest left out."),
]
ArchiveToOption = Annotated[
    str | None,
    typer.Option("--archive-to", metavar="DEST", help="Where --after archive puts them: a directory or URL."),
]
SettleOption = Annotated[
    str | None,
    typer.Option("--settle", metavar="LENGTH", help="How long nobody must have written to a segment, such as 10m."),
]


@dataclass(frozen=True)
class RunOptions:
    """Options as typed; None where one was not given."""

    config: Path | None
    channels: list[str] | None
    products: list[str] | None
    start: str | None
    end: str | None
    engine: Engine | None
    address: str | None
    numbers: Numbers | None
    books: bool | None
    bars: list[str] | None
    trades_with_book: bool | None
    features: str | None
    strict: bool | None
    overwrite: bool | None
    break_lock: bool | None
    after: After | None
    archive_to: str | None
    settle: str | None

    def job_config(self) -> JobConfig:
        """Return the config file, or the defaults, with these options laid over it."""
        base = JobConfig() if self.config is None else load_config(self.config)
        config = base.merge(self._overrides())
        if self.books and not config.has_books:
            raise ConfigError("--books: expected the channel level2 to be enabled, found it left out")
        return config

    def _overrides(self) -> dict[str, object]:
        overrides: dict[str, object] = {
            key: value
            for key, value in {
                "start": self.start,
                "end": self.end,
                "engine": self.engine,
                "address": self.address,
                "numbers": self.numbers,
                "strict": self.strict,
                "overwrite": self.overwrite,
                "break_lock": self.break_lock,
                "after": self.after,
                "archive_to": self.archive_to,
                "settle": self.settle,
            }.items()
            if value is not None
        }
        if self.engine == "local" and self.address is None:
            overrides["address"] = None  # the file's address belongs to the file's engine
        if self.after in ("keep", "delete") and self.archive_to is None:
            overrides["archive_to"] = None
        if self.products is not None:
            overrides["products"] = split_names(self.products, "--products")
        derived = derived_overrides(self.bars, self.trades_with_book, self.features)
        if derived:
            overrides["derived"] = derived
        channels: dict[str, dict[str, object]] = {}
        if self.channels is not None:
            wanted = {channel_name(name) for name in split_names(self.channels, "--channels")}
            channels = {name: {"enabled": name in wanted} for name in CHANNELS}
        if self.books is not None:
            channels.setdefault("level2", {})["processor_options"] = {"reconstruct_lob": self.books}
        return overrides | ({"channels": channels} if channels else {})


def derived_overrides(bars: list[str] | None, trades_with_book: bool | None, features: str | None) -> dict[str, object]:
    """Return the keys of the section `derived` that options say."""
    found: dict[str, object] = {"trades_with_book": trades_with_book, "features": features}
    found["bars"] = None if bars is None else split_names(bars, "--bars")
    return {key: value for key, value in found.items() if value is not None}


def split_names(values: list[str], option: str) -> list[str]:
    """Return the names in `values`, each of which may hold several, separated by commas."""
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise ConfigError(f"{option}: expected names separated by commas, found {','.join(values)!r}")
    return names
