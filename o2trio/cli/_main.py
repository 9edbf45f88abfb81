"""Entry of the ``o2trio`` command: choose, run until done or told to end, and turn errors into a status."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

import trio

from .._errors import CallerError, O2Error
from .._nursery import BareNursery, leaves
from ._arguments import parser
from ._output import StandardOutput

__all__ = ["main"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNALLED = 128
"""A command that a signal ended has this plus the signal's number as its status, as shells tell it."""
_SIGPIPE = 13
_ENDED_BY_SIGNALS = {"simulator"}
"""Commands that have no other end."""

_EXTRAS = {"rich": "cli", "h11": "simulator", "wsproto": "simulator"}
"""Which extra brings a package."""

Command = Callable[[], Awaitable[int | None]]
"""Runs a command; returns its exit status, None for 0."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
      argv: the arguments without the program's name; None takes those of the process.

    Raises:
      SystemExit: by ``--help``, ``--version`` and arguments that cannot be understood.
    """
    arguments = parser().parse_args(argv)
    # Warnings of the library tell of what the commands show anyway; they must not tear the picture.
    logging.getLogger("o2trio").addHandler(logging.NullHandler())
    output = StandardOutput()
    status = 0
    try:
        if arguments.command == "soak":
            status = _soak(arguments)
        else:
            status = trio.run(_until_signal, _COMMANDS[arguments.command](arguments, output))
        if arguments.command in _ENDED_BY_SIGNALS:
            status = 0
    except* KeyboardInterrupt:
        status = _SIGNALLED + signal.SIGINT
    except* BrokenPipeError:
        status = _SIGNALLED + _SIGPIPE
    except* CallerError as group:
        status = _complain(group, 2)
    except* (O2Error, OSError) as group:
        status = _complain(group, 1)
    except* ModuleNotFoundError as group:
        status = _complain(_missing_extra(group), 1)
    output.settle()
    return status


def _markets(arguments: argparse.Namespace, output: StandardOutput) -> Command:
    from ._markets import list_markets

    return lambda: list_markets(arguments.network, output.write, as_json=arguments.json)


def _watch(arguments: argparse.Namespace, output: StandardOutput) -> Command:
    from ._watch import View, watch

    view: View
    if arguments.json:
        from ._json import JsonView

        view = JsonView(output.write)
    elif sys.stdout.isatty():
        from ._screen import ScreenView

        view = ScreenView(arguments.network, arguments.precision, arguments.levels)
    else:
        from ._plain import PlainView

        view = PlainView(output.write, arguments.precision)
    return lambda: watch(
        arguments.network, arguments.pair, view, precision=arguments.precision, seconds=arguments.seconds
    )


def _simulator(arguments: argparse.Namespace, output: StandardOutput) -> Command:
    from ._simulator import run_simulator

    async def run() -> None:
        await run_simulator(
            output.write,
            host=arguments.host,
            port=arguments.port,
            seed=arguments.seed,
            rate=arguments.rate,
            flavors=arguments.flavor,
        )

    return run


def _soak(arguments: argparse.Namespace) -> int:
    # Scenarios run Trio themselves, in virtual time, so this one runs outside of it.
    from ._soak import run_soak

    return run_soak(
        lambda line: print(line, flush=True),
        range(arguments.seed, arguments.seed + 1) if arguments.seeds is None else arguments.seeds,
        arguments.hours,
        processes=arguments.processes,
        smaller=arguments.shrink,
        without_faults=arguments.without_faults,
        without_consumers=arguments.without_consumers,
    )


def _doctor(arguments: argparse.Namespace, output: StandardOutput) -> Command:
    from ._doctor import run_doctor
    from ._doctor_trade import consent_of

    consent = consent_of(arguments) if arguments.trade else None
    return lambda: run_doctor(
        arguments.network,
        output.write,
        account=arguments.account,
        consent=consent,
        report=arguments.report,
        as_json=arguments.json,
    )


_COMMANDS: dict[str, Callable[[argparse.Namespace, StandardOutput], Command]] = {
    "doctor": _doctor,
    "markets": _markets,
    "simulator": _simulator,
    "watch": _watch,
}


async def _until_signal(command: Command) -> int:
    """Run `command`, cancel it at a signal to end, and return the status."""
    status = 0
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with BareNursery() as nursery:
            with trio.CancelScope() as scope:

                async def listen() -> None:
                    nonlocal status
                    async for number in signals:
                        status = _SIGNALLED + number
                        scope.cancel()

                nursery.start_soon(listen)
                done = await command()
                status = status or done or 0
    return status


def _missing_extra(group: BaseExceptionGroup[ModuleNotFoundError]) -> Exception:
    error = next(leaves(group))
    name = (getattr(error, "name", None) or "").partition(".")[0]
    if name not in _EXTRAS:
        raise error
    return O2Error(f"this needs the package {name}; install it with: pip install 'o2trio[{_EXTRAS[name]}]'")


def _complain(error: BaseException, status: int) -> int:
    sys.stderr.write(f"o2trio: {next(leaves(error))}\n")
    return status
