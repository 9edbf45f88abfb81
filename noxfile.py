"""The project's jobs. Each session installs its locked requirements and runs one kind of check.

``nox -l`` lists them. Arguments after ``--`` go to the tool of the session.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.10"
nox.options.sessions = ["lint", "types", "tests", "docs"]
# The same installer everywhere, whatever else a machine has.
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = True

# The dependency groups behind each lock. Those with "build" install the project, and so hold what it needs.
LOCKS: dict[str, list[str]] = {
    "bench": ["build", "bench"],
    "demo": ["build"],
    "docs": ["build", "docs"],
    "lint": ["lint"],
    "lock": ["lock"],
    "nox": ["session"],
    "tests": ["build", "test"],
    "types": ["build", "types"],
}

# The packages whose branches are covered completely.
COVERED = "o2trio/wire/*,o2trio/streams/*,o2trio/transport/*"
# The folders of the tests that cover them.
CORE_TESTS = ("books", "fuzz", "models", "promises", "repair", "rest", "streams", "transport", "wire")

# The folders whose tests depend most on the order of tasks; ``shuffle`` runs them in a fresh order.
SHUFFLED_TESTS = ("promises", "repair", "streams")

# The scenarios that run for every change: always the same ones, and so many that never ran before.
FIXED_SEEDS = "1..40"
FRESH_SEEDS = 20


def install(session: nox.Session, lock: str = "") -> None:
    """Install a lock, the session's own by default, then the project without resolving anything again."""
    lock = lock or session.name
    session.install("--requirement", f"requirements/{lock}.txt")
    if "build" in LOCKS[lock]:
        session.install("--no-deps", "--no-build-isolation", "--editable", ".")


@nox.session
def demo(session: nox.Session) -> None:
    """Watch a market of the embedded exchange; ends by itself when nobody sits at the terminal."""
    install(session)
    arguments = list(session.posargs)
    if not arguments or arguments[0].startswith("-"):
        arguments.insert(0, "fFUEL/fUSDC")
    if "--seconds" not in arguments and not sys.stdout.isatty():
        arguments += ["--seconds", "10"]
    session.run("o2trio", "watch", "--network", "simulator", *arguments)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, or those named. A run of all must also cover every branch of the core."""
    install(session)
    workers = ("--numprocesses", "auto")
    if session.posargs:
        session.run("pytest", *workers, *session.posargs)
        return
    # Tracing costs half as much again, so only the tests of the core are traced.
    others = sorted(str(path) for path in Path("tests").iterdir() if path.name not in CORE_TESTS)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *workers, *(f"tests/{name}" for name in CORE_TESTS))
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", f"--include={COVERED}", "--fail-under=100")
    session.run("pytest", *workers, *others)


@nox.session
def shuffle(session: nox.Session) -> None:
    """Run the tests of the streams in a fresh order of tasks, whose seed is printed."""
    install(session, "tests")
    tests = session.posargs or [f"tests/{name}" for name in SHUFFLED_TESTS]
    session.run("pytest", "--numprocesses", "auto", "--trio-seed=fresh", *tests)


@nox.session
def soak(session: nox.Session) -> None:
    """Carry out scenarios: a fixed set and some fresh ones, or those that the arguments name."""
    install(session, "tests")
    if session.posargs:
        session.run("o2trio", "soak", *session.posargs)
        return
    first = random.randrange(10**6, 10**9)
    for seeds in (FIXED_SEEDS, f"{first}..{first + FRESH_SEEDS - 1}"):
        session.run("o2trio", "soak", "--seeds", seeds)


@nox.session
def long_soak(session: nox.Session) -> None:
    """Carry out 2,000 simulated hours and write their figures into the documentation; an hour on 2 cores."""
    install(session, "tests")
    session.run("python", "-m", "benchmarks.soak_report", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Break the core in many ways, one at a time, and see that scenarios find each."""
    install(session, "tests")
    session.run("python", "-m", "benchmarks.soak_mutants", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Change one thing in real messages and answers, with a fresh seed, and judge with an oracle."""
    install(session, "tests")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and news fragments."""
    install(session)
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types strictly, with two checkers."""
    install(session)
    session.run("mypy", *session.posargs)
    # Without a name it would take the interpreter of a .venv beside it, which holds nothing but nox.
    session.run("basedpyright", "--pythonpath", f"{session.bin}/python")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install(session)
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", *session.posargs, "docs", "docs/_build")


@nox.session
def bench(session: nox.Session) -> None:
    """Run every benchmark, or the one named; what follows its name are its options."""
    install(session)
    if session.posargs:
        script, *options = session.posargs
        session.run("python", "-m", f"benchmarks.{Path(script).stem}", *options)
        return
    for path in sorted(Path("benchmarks").glob("bench_*.py")):
        session.run("python", "-m", f"benchmarks.{path.stem}")


@nox.session
def lock(session: nox.Session) -> None:
    """Resolve the locks anew, or those named. ``-- --upgrade`` also moves to newer releases."""
    install(session)
    options = [argument for argument in session.posargs if argument.startswith("-")]
    names = [argument for argument in session.posargs if not argument.startswith("-")]
    for name in names or LOCKS:
        groups = [word for group in LOCKS[name] for word in ("--group", group)]
        project = ["pyproject.toml", "--extra", "all"] if "build" in LOCKS[name] else []
        session.run(
            *("uv", "pip", "compile", *project, *groups, "--output-file", f"requirements/{name}.txt"),
            *("--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"),
            *("--no-header", "--no-annotate", "--no-emit-package", "o2trio", *options),
        )
