"""The command as others meet it: arguments, exit status, signals, pipes, a terminal; over loopback."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import trio
import trio.testing

from o2trio.cli import main

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "o2trio"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm-256color"}
PAIR = "fFUEL/fUSDC"
BOUND = 20

posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals as POSIX has them")


@contextmanager
def command(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen([*COMMAND, *arguments], text=True, env=ENVIRONMENT, **options) as process:
        # Whoever waits for output that never comes is freed by this.
        watchdog = Timer(BOUND, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


# -- arguments and errors --------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("o2trio ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["watch"],
        ["watch", PAIR, "--network", "nowhere"],
        ["watch", PAIR, "--precision", "0"],
        ["watch", PAIR, "--precision", "1.5"],
        ["watch", PAIR, "--seconds", "soon"],
        ["watch", PAIR, "--levels", "0"],
        ["simulator", "--port", "65536"],
        ["simulator", "--rate", "nan"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "o2trio" in capsys.readouterr().err


def test_wrong_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["markets", "--network", "ftp://example.invalid"]) == 2
    assert "expected a URL" in capsys.readouterr().err


def test_unknown_market_lists_the_markets(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "fNOPE/fUSDC", "--network", "simulator"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("o2trio: no market 'fNOPE/fUSDC'")
    assert PAIR in err


def test_nobody_answers(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # The pauses between the attempts to connect take no real time.
    monkeypatch.setattr(trio, "run", partial(trio.run, clock=trio.testing.MockClock(autojump_threshold=0)))
    assert main(["watch", PAIR, "--network", "http://127.0.0.1:1"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_markets_and_seconds_end_well(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["markets", "--network", "SIMULATOR"]) == 0
    assert PAIR in capfd.readouterr().out
    assert main(["watch", PAIR, "--network", "simulator", "--seconds", "0.3"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["event", "snapshot"]


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("rich", "cli", ["watch", PAIR, "--network", "simulator"]),
        ("h11", "simulator", ["simulator"]),
    ],
)
def test_missing_extra_is_named(
    package: str,
    extra: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in list(sys.modules):
        if name.startswith(("o2trio.cli._screen", "o2trio.cli._ladder", "o2trio.simulator", package)):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(arguments) == 1
    assert f"pip install 'o2trio[{extra}]'" in capsys.readouterr().err


def test_another_missing_module_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "o2trio.cli._markets", raising=False)
    monkeypatch.setitem(sys.modules, "o2trio.cli._markets", None)
    with pytest.raises((ModuleNotFoundError, ExceptionGroup)):
        main(["markets"])


# -- signals and pipes -----------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulator_says_where_and_stops_cleanly(number: signal.Signals) -> None:
    with command("simulator", "--port", "0", "--seed", "3") as simulator:
        assert simulator.stdout is not None
        first = simulator.stdout.readline()
        assert first.startswith("listening on http://127.0.0.1:")
        url = first.split()[-1]
        rest = [simulator.stdout.readline().split()[-1] for _ in range(2)]
        assert rest == [url.replace("http", "ws", 1) + "/v1/ws", url + "/faucet"]
        assert main(["markets", "--network", url]) == 0
        simulator.send_signal(number)
        assert simulator.communicate(timeout=BOUND) == ("", "")
        assert simulator.returncode == 0


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watch_ends_quietly(number: signal.Signals, status: int) -> None:
    with command("watch", PAIR, "--network", "simulator", "--json") as watcher:
        assert watcher.stdout is not None
        assert json.loads(watcher.stdout.readline())["event"] == "ConnectionUp"
        assert json.loads(watcher.stdout.readline())["origin"] == "snapshot"
        watcher.send_signal(number)
        out, err = watcher.communicate(timeout=BOUND)
        assert err == ""
        assert watcher.returncode == status
        for line in out.splitlines():
            json.loads(line)


@posix
def test_doctor_ends_with_what_it_has_found() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        command("doctor", "--network", f"http://127.0.0.1:{mute.getsockname()[1]}", "--json") as doctor,
    ):
        mute.settimeout(BOUND)
        first, _ = mute.accept()
        second, _ = mute.accept()  # The first one only showed that a connection can be opened.
        doctor.send_signal(signal.SIGINT)
        out, err = doctor.communicate(timeout=BOUND)
        first.close()
        second.close()
    assert (err, doctor.returncode) == ("", 130)
    found = {item["check"]: item["verdict"] for item in map(json.loads, out.splitlines())}
    assert found["connection"] == "safe"
    assert found["heartbeat"] == "undecided"


@posix
def test_ctrl_c_while_nobody_reads() -> None:
    """A full pipe must not keep the command from ending."""
    with command("watch", PAIR, "--network", "simulator", "--json", pipesize=4096) as watcher:
        assert watcher.stdout is not None
        pipe = watcher.stdout.fileno()
        while os.read(pipe, 1) != b"\n":
            pass
        # The snapshot begins to arrive; it is larger than the pipe.
        select.select([pipe], [], [], BOUND)
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(timeout=BOUND) == 130
        assert len(os.read(pipe, 65536)) <= 4096


@posix
def test_reader_goes_away() -> None:
    with command("watch", PAIR, "--network", "simulator") as watcher:
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        assert "connected" in watcher.stdout.readline()
        watcher.stdout.close()
        assert watcher.wait(timeout=BOUND) == 141
        assert watcher.stderr.read() == ""


@posix
def test_on_a_terminal() -> None:
    """The ladder appears, Ctrl-C ends it, and the terminal is given back as it was."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    try:
        with command(
            *("watch", PAIR, "--network", "simulator"), stdin=slave, stdout=slave, stderr=slave
        ) as watcher:
            os.close(slave)
            seen = b""
            while b"mid" not in seen:
                seen += os.read(master, 65536)
            watcher.send_signal(signal.SIGINT)
            while f"{PAIR}: ".encode() not in seen:
                seen += os.read(master, 65536)
            assert watcher.wait(timeout=BOUND) == 130
    finally:
        os.close(master)
    text = seen.decode(errors="replace")
    assert "Traceback" not in text
    assert "live" in text
    assert text.index("\x1b[?1049h") < text.index("\x1b[?1049l")
    assert text.rindex("\x1b[?25l") < text.rindex("\x1b[?25h")
