"""What the command line accepts, and its help. No command is run here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .._network import Network
from ._open import SIMULATOR

__all__ = ["parser"]

_EXIT_STATUS = """\
exit status: 0 all went well, 1 the exchange or the connection failed, 2 wrong arguments (an
unknown market too), 130 ended by Ctrl-C, 141 whoever read the output went away, 143 ended by
SIGTERM. The simulator is meant to be ended by Ctrl-C or SIGTERM: its status is then 0.
"""

_JSON_LINES = """\
Each line of --json is one object. All have "type" ("depth", "trades" or "event") and "received".

An update also has "market", "market_id", "origin" ("snapshot", "live", "backfill" or "gap"),
"epoch", "seen_timestamp" and "onchain_timestamp".
  depth   "precision"; "bids" and "asks", the changed levels (all of them with absolute sizes if
          the origin is "snapshot", else signed differences); "best_bid" and "best_ask" of the
          whole book, null where there is none. A level has "price" and "quantity".
  trades  "trades", each with "trade_id", "side" (the maker's), "taker_side", "price",
          "quantity", "total" (null: not told) and "timestamp".
  event   "event", its name, and the fields of that event.

Amounts are strings with exact decimal numbers; "price_raw", "quantity_raw" and "total_raw" hold
the same in chain units. Time stamps are strings too, counted from 1970: "received" and
"seen_timestamp" in nanoseconds, "onchain_timestamp" in seconds, a trade's "timestamp" in
milliseconds. Counters are JSON numbers. Fields may be added; those named here stay.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``command`` names the command that was chosen."""
    top = _parser(
        argparse.ArgumentParser, prog="o2trio", description="Watch the O2 exchange.", epilog=_EXIT_STATUS
    )
    top.add_argument("--version", action="version", version=f"o2trio {_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    markets = _parser(
        commands.add_parser, "markets", help="list the markets", description="List the markets."
    )
    _add_network(markets)
    markets.add_argument("--json", action="store_true", help="print one JSON object per market")

    watch = _parser(
        commands.add_parser,
        "watch",
        help="watch a market's order book and trades",
        description="Watch a market: a live ladder on a terminal, plain lines elsewhere. Ctrl-C ends it.",
        epilog=_JSON_LINES,
    )
    watch.add_argument("pair", metavar="PAIR", help="a market, such as fFUEL/fUSDC, or its id")
    _add_network(watch)
    watch.add_argument(
        "--precision",
        type=_number(int, 1, 18),
        default=1,
        metavar="LEVEL",
        help="group prices by 10**LEVEL chain units (1 to 9, up to 18 are accepted; default 1, the finest)",
    )
    watch.add_argument(
        "--levels",
        type=_number(int, 1, 1000),
        default=1000,
        metavar="N",
        help="show at most N levels of each side (default: what fits the terminal)",
    )
    watch.add_argument(
        "--seconds", type=_number(float, 0, 1e9), metavar="N", help="end after N seconds, with status 0"
    )
    watch.add_argument("--json", action="store_true", help="print one JSON object per update (see below)")

    _add_doctor(commands)
    simulator = _parser(
        commands.add_parser,
        "simulator",
        help="run a simulated exchange",
        description="Run a simulated exchange until Ctrl-C. The first line of output is its URL: "
        "'listening on http://...'; give it to --network. The next two name the URLs of its streams "
        "and of its faucet. Everything is forgotten at the end.",
    )
    simulator.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine only)")
    simulator.add_argument(
        "--port", type=_number(int, 0, 65535), default=0, help="TCP port (default 0: any free one)"
    )
    simulator.add_argument("--seed", type=int, default=7, help="determines the order flow (default 7)")
    simulator.add_argument(
        "--rate",
        type=_number(float, 0.01, 10_000),
        default=8.0,
        metavar="N",
        help="mean number of order events per second and market (default 8)",
    )
    simulator.add_argument(
        "--flavor",
        action="append",
        default=[],
        metavar="NAME=READING",
        help="follow another reading of the protocol where the sources disagree, for example "
        "snapshot_key=orders; may be repeated; the reference of the simulator lists them",
    )
    _add_soak(commands)
    return top


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = _parser(
        commands.add_parser,
        "doctor",
        help="find out whether the exchange works as the library assumes",
        description="Look at the exchange as it is and compare it with what the library assumes: first "
        "whether it can be reached, then every question on which the sources disagree. Without --trade it "
        "only reads. It stays within the rate limits and takes at most a minute. Ctrl-C ends it and shows "
        "what was found so far. The exit status is 1 if an assumption is wrong.",
    )
    _add_network(doctor)
    doctor.add_argument(
        "--account", metavar="ID", help="also examine this trading account, which may be anyone's"
    )
    doctor.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write a report; it holds shapes, no ids and no amounts",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object per question")
    trading = doctor.add_argument_group(
        "trading",
        "Answers more, on a test network only: opens a session, places an order, cancels it, settles.",
    )
    trading.add_argument("--trade", action="store_true", help="trade; needs the next option and a key")
    trading.add_argument(
        "--yes-spend-test-coins",
        action="store_true",
        help="confirm that test coins of this wallet may be spent",
    )
    trading.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="a file with the private key of the owner, in hexadecimal digits; by default it is taken "
        "from the environment variable O2TRIO_KEY",
    )
    trading.add_argument("--evm", action="store_true", help="the key is that of an EVM wallet")


def _add_soak(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    soak = _parser(
        commands.add_parser,
        "soak",
        help="prove the promises in simulated time",
        description="Run the client against a simulated exchange over a hostile network, in virtual "
        "time, and judge what it tells its consumers. Everything follows from a seed: one line for each, "
        "then a summary. A failure prints the broken promise, the last events and the command that "
        "replays it; the status is then 1.",
    )
    which = soak.add_mutually_exclusive_group()
    which.add_argument("--seed", type=_number(int, 0, 10**12), default=1, help="which scenario (default 1)")
    which.add_argument("--seeds", type=_seeds, metavar="A..B", help="many of them, both ends included")
    soak.add_argument(
        "--hours",
        type=_number(float, 0.01, 1000),
        default=1.0,
        metavar="H",
        help="simulated hours of each (default 1)",
    )
    soak.add_argument(
        "--processes",
        type=_number(int, 1, 256),
        default=2,
        metavar="N",
        help="how many at a time (default 2)",
    )
    soak.add_argument("--shrink", action="store_true", help="leave out what a failure does not need")
    for what in ("faults", "consumers"):
        soak.add_argument(
            f"--without-{what}",
            type=_indices,
            default=(),
            metavar="NUMBERS",
            help=f"leave out these {what}, for example 3,9-40",
        )


def _seeds(text: str) -> range:
    first, dots, last = text.partition("..")
    try:
        seeds = range(int(first), int(last if dots else first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds or seeds[0] < 0:
        raise argparse.ArgumentTypeError(f"expected seeds such as 1..100, not {text!r:.40}")
    return seeds


def _indices(text: str) -> tuple[int, ...]:
    from ..testing._plan import numbers_of

    try:
        return numbers_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 3,9-40, not {text!r:.40}") from None


def _parser(
    make: Callable[..., argparse.ArgumentParser], *names: str, **options: str
) -> argparse.ArgumentParser:
    return make(*names, formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--network",
        type=_network,
        default="testnet",
        metavar="NETWORK",
        help="testnet (default), mainnet, devnet, a URL, or simulator, which starts one for the occasion",
    )


def _network(text: str) -> str:
    names = [*(network.name.lower() for network in Network), SIMULATOR]
    if text.lower() in names:
        return text.lower()
    if "://" not in text:
        raise argparse.ArgumentTypeError(f"expected {', '.join(names)} or a URL, not {text!r:.80}")
    return text


def _number(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number from {least:g} to {most:g}, not {text!r:.40}"
            )
        return value

    return read


def _version() -> str:
    try:
        return version("o2trio")
    except PackageNotFoundError:
        return "(not installed)"
