"""Every code example of the documentation and the README does what its marker says.

A comment above a Python block says what must be seen when the block runs:

- ``.. prints: REGEX``: it runs until it is cancelled, after ``SECONDS`` of virtual time;
- ``.. ends and prints: REGEX``: it comes to its end by itself;
- ``.. interrupted and prints: REGEX``: Ctrl-C is pressed after ``SECONDS``;
- ``.. passes its tests``: it holds ``async def test_*`` functions; each is called as pytest-trio would.

``REGEX`` must be found in what the block printed. The exchange's own networks are replaced by the embedded
one.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import o2trio
import o2trio.testing
from o2trio.cli._arguments import parser
from o2trio.simulator import open_simulator
from o2trio.testing import open_exchange

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.rst"))

SECONDS = 30.0
"""Virtual time after which an endless example is stopped."""

ENDLESS, ENDS, INTERRUPTED, TESTS = "", "ends and ", "interrupted and ", "passes its tests"

LIMITS = {INTERRUPTED: 2 * SECONDS, TESTS: 2 * 3600.0}
"""Virtual time for the others, of which none may be needed."""

README_MARKERS = (
    (ENDLESS, r"\d+ bids \d+ asks\n(.*\n)*bid added at \d+"),
    (ENDS, r"bought \S+ at 0\.02\d*\n(.*\n)*filled \d"),
)
"""How each code block of Python in the README ends, and what it prints: Markdown has no comments for that."""

_MARKER = re.compile(
    r"\.\. ((?P<how>ends and |interrupted and |)prints: (?P<regex>.+)|(?P<tests>passes its tests))"
)
_DIRECTIVE = re.compile(r"(?P<indent> *)\.\. (code-block|code|sourcecode):: (?P<language>\S+)")
_FENCE = re.compile(r"```(?P<language>\w+)")


@attrs.frozen(slots=True, kw_only=True)
class Example:
    """One code block: where it stands, what it holds, what must come of it."""

    page: Path
    line: int
    language: str
    source: str
    how: str = ENDLESS
    regex: str | None = None

    @property
    def name(self) -> str:
        """Name the example for people."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def rst_examples(page: Path) -> Iterator[Example]:
    """Find the code blocks of a reStructuredText page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    marker: re.Match[str] | None = None
    for number, line in enumerate(lines):
        if found := _MARKER.fullmatch(line.strip()):
            marker = found
        elif found := _DIRECTIVE.fullmatch(line):
            margin = len(found["indent"]) + 1
            body = []
            for text in lines[number + 1 :]:
                if text.strip() and not text.startswith(" " * margin):
                    break
                body.append(text)
            yield Example(
                page=page,
                line=number + 1,
                language=found["language"],
                source=dedent("\n".join(body)).strip() + "\n",
                how=(marker["tests"] or marker["how"]) if marker else ENDLESS,
                regex=(marker["regex"] or "") if marker else None,
            )
            marker = None


def markdown_examples(page: Path) -> Iterator[Example]:
    """Find the code blocks of a Markdown page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    markers = iter(README_MARKERS)
    for number, line in enumerate(lines):
        if found := _FENCE.fullmatch(line):
            end = lines.index("```", number)
            how, regex = next(markers) if found["language"] == "python" else (ENDLESS, None)
            yield Example(
                page=page,
                line=number + 1,
                language=found["language"],
                source="\n".join(lines[number + 1 : end]) + "\n",
                how=how,
                regex=regex,
            )


EXAMPLES = [*markdown_examples(README), *(example for page in PAGES for example in rst_examples(page))]
PYTHON = [example for example in EXAMPLES if example.language == "python"]
SHELL = [example for example in EXAMPLES if example.language in {"sh", "console"}]

_open_o2 = o2trio.open_o2
_trio_run = trio.run


@asynccontextmanager
async def open_offline(
    network: o2trio.Network | o2trio.NetworkConfig | str = o2trio.Network.TESTNET,
    *,
    options: o2trio.Options | None = None,
) -> AsyncGenerator[o2trio.O2Client]:
    """Do as ``open_o2``, with the embedded exchange in place of a real one."""
    if isinstance(network, o2trio.NetworkConfig):
        async with _open_o2(network, options=options) as o2:
            yield o2
    else:
        async with open_simulator(seed=7) as sim, _open_o2(sim.network, options=options) as o2:
            yield o2


@trio.lowlevel.enable_ki_protection
async def press_ctrl_c() -> None:
    """Interrupt the program; protected, so that the main task gets it as from a keyboard."""
    await trio.sleep(SECONDS)
    signal.raise_signal(signal.SIGINT)


class Stage:
    """Stands where ``trio.run`` is while an example runs: the same in virtual time, ended in time."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.runs = 0
        self.ended = False

    def run(self, main: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        """Run `main` in virtual time."""
        self.runs += 1
        self.ended = False

        async def bounded() -> Any:
            if self.how == INTERRUPTED:
                trio.lowlevel.spawn_system_task(press_ctrl_c)
            with trio.move_on_after(LIMITS.get(self.how, SECONDS)):
                result = await main(*args)
                self.ended = True
                return result

        options["clock"] = MockClock(autojump_threshold=0)
        # Whoever started the tests in the background may have left them deaf to Ctrl-C.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return _trio_run(bounded, **options)
        finally:
            signal.signal(signal.SIGINT, handler)


@asynccontextmanager
async def no_more() -> AsyncGenerator[None]:
    """Stand for the clock that every example has here."""
    yield


FIXTURES: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
    "autojump_clock": no_more,
    "hostile_exchange": open_exchange,
}


async def call_test(function: Callable[..., Awaitable[None]]) -> None:
    """Call a test function with the fixtures that it names."""
    async with AsyncExitStack() as stack:
        given: dict[str, Any] = {}
        for name in inspect.signature(function).parameters:
            assert name in FIXTURES, f"no such fixture here: {name}"
            given[name] = await stack.enter_async_context(FIXTURES[name]())
        await function(**given)


def run_tests(names: dict[str, Any], stage: Stage) -> None:
    """Call the test functions among `names` as pytest-trio would."""
    for name, function in list(names.items()):
        if name.startswith("test_") and inspect.iscoroutinefunction(function):
            stage.run(partial(call_test, function))
            assert stage.ended, f"{name} did not end within {LIMITS[TESTS]:g} virtual seconds"


def perform(example: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run `example` and check that it does what its marker says."""
    assert example.regex is not None, f"{example.name} has no marker that tells what it prints"
    stage = Stage(example.how)
    monkeypatch.setattr(trio, "run", stage.run)
    monkeypatch.setattr(o2trio, "open_o2", open_offline)
    names: dict[str, Any] = {"__name__": "__main__"}
    # As far down as in its page, so that a traceback points there.
    source = "\n" * (example.line + 1) + example.source
    try:
        exec(compile(source, str(example.page), "exec", dont_inherit=True), names)
    except* KeyboardInterrupt:
        # Otherwise it would end the whole test run.
        pytest.fail(f"{example.name} lets the interrupt out")
    if example.how == TESTS:
        run_tests(names, stage)
        assert "assert" in example.source
        assert stage.runs, f"{example.name} has no test"
    printed = capsys.readouterr().out
    assert re.search(example.regex, printed), f"{example.name} printed:\n{printed[:2000]}"
    if stage.runs:
        assert stage.ended == (example.how in {ENDS, TESTS}), f"{example.name} ended: {stage.ended}"


@pytest.mark.parametrize("example", PYTHON, ids=lambda example: example.name)
def test_python_example(
    example: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "import coincurve" in example.source:
        pytest.importorskip("coincurve", reason="it has no release for this Python")
    perform(example, monkeypatch, capsys)


def test_the_test_recipes_pass_as_typed_in_a_fresh_project(tmp_path: Path) -> None:
    """Seen here: they needed settings and a line that no example showed, and one waited forever."""
    settings = [example for example in EXAMPLES if example.language == "toml"]
    assert [example.page.name for example in settings] == ["testing.rst"]
    (tmp_path / "pyproject.toml").write_text(settings[0].source, encoding="utf-8")
    recipes = [example for example in PYTHON if example.how == TESTS]
    for number, recipe in enumerate(recipes):
        name = f"test_{number}_{recipe.page.stem.replace('-', '_')}.py"
        (tmp_path / name).write_text(recipe.source, encoding="utf-8")
    foreign = ("PYTEST_", "COV_CORE", "COVERAGE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # What is tested is this checkout, also where another one is installed.
    environment["PYTHONPATH"] = str(ROOT)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        "--junitxml=report.xml",
    ]
    result = subprocess.run(
        command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stdout + result.stderr
    typed = sum(len(re.findall(r"^async def test_", recipe.source, re.MULTILINE)) for recipe in recipes)
    report = (tmp_path / "report.xml").read_text(encoding="utf-8")
    assert report.count("<testcase ") == typed >= 10
    assert not re.search("<skipped|<failure|<error", report)


_HEAD = "import trio\nfrom o2trio import Network, open_o2\nasync def main():\n"
_TRADES = (
    " async with open_o2(Network.TESTNET) as o2:\n  async for update in o2.stream_trades('fFUEL/fUSDC'):\n"
)


_HANGS = "import trio\nasync def test_hangs(): await trio.sleep_forever()\n"
_PASSES = "async def test_passes(): assert True\n"


@pytest.mark.parametrize(
    ("how", "regex", "source"),
    [
        pytest.param(ENDLESS, None, "print(1)", id="it has no marker"),
        pytest.param(ENDLESS, "trades", _HEAD + _TRADES + "   pass\ntrio.run(main)", id="it prints nothing"),
        pytest.param(ENDLESS, "1", _HEAD + " print(1)\ntrio.run(main)", id="it ends"),
        pytest.param(ENDS, "1", _HEAD + _TRADES + "   print(1)\ntrio.run(main)", id="it does not end"),
        pytest.param(
            INTERRUPTED, "1", _HEAD + _TRADES + "   print(1)\ntrio.run(main)", id="it is interrupted"
        ),
        pytest.param(TESTS, "", "async def test_one(): assert False", id="its test fails"),
        pytest.param(TESTS, "", "def test_one(): assert True", id="it has no test"),
        pytest.param(TESTS, "", _HANGS + _PASSES, id="its first test hangs"),
        pytest.param(TESTS, "", _PASSES + _HANGS, id="its last test hangs"),
    ],
)
def test_a_wrong_example_fails(
    how: str,
    regex: str | None,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = Example(page=README, line=1, language="python", source=source, how=how, regex=regex)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        perform(example, monkeypatch, capsys)


def commands(source: str) -> Iterator[list[str]]:
    """Yield the arguments of each ``o2trio`` command in a shell block."""
    for line in source.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] == ["o2trio"]:
            yield words[1:]


COMMANDS = [(example.name, words) for example in SHELL for words in commands(example.source)]


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=[f"{p} {' '.join(w)}" for p, w in COMMANDS])
def test_commands_are_understood(place: str, words: list[str]) -> None:
    assert parser().parse_args(words).command == words[0], place


def test_examples_are_found() -> None:
    texts = [README.read_text(encoding="utf-8"), *(page.read_text(encoding="utf-8") for page in PAGES)]
    assert len(PYTHON) == sum(
        len(re.findall(r"^ *(?:\.\. code-block:: |```)python$", text, re.MULTILINE)) for text in texts
    )
    assert len(PYTHON) >= 25
    assert len(COMMANDS) >= 8


def test_everything_public_is_in_the_reference() -> None:
    reference = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.parent.name == "reference")
    documented = set(
        re.findall(r"^\.\. (?:auto\w+:: o2trio\.|py:data:: )(\w+)(?:\(\))?$", reference, re.MULTILINE)
    )
    assert documented == set(o2trio.__all__)
    tools = r"^\.\. (?:auto\w+|py:data):: o2trio\.testing\.(\w+)(?:\(\))?$"
    documented = set(re.findall(tools, reference, re.MULTILINE))
    assert documented | {"open_simulator"} == set(o2trio.testing.__all__)


def test_defaults_in_the_text_are_those_of_the_code() -> None:
    units = {"": 1, "s": 1, "MiB": 2**20}
    mention = re.compile(
        r"(?:``(\w+)``|`Options\.(\w+)\s<o2trio\.Options>`)\s+\((\d[\d ]*?) ?(s|MiB|)\)|`Options\.(\w+)\s"
    )
    defaults = {field.name: field.default for field in attrs.fields(o2trio.Options)}
    checked = set()
    for page in PAGES:
        for name, other, number, unit, bare in mention.findall(page.read_text(encoding="utf-8")):
            option = name or other or bare
            assert option in defaults, f"{page} names {option}"
            if number:
                checked.add(option)
                assert defaults[option] == int(number.replace(" ", "")) * units[unit], f"{option} in {page}"
    assert len(checked) >= 10
