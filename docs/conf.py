"""How the documentation is built. Nothing is fetched: it builds without a network."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import attrs
import trio
from docutils import nodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from trio.testing import MockClock

from o2trio import Network, O2Client, Options
from o2trio.cli import _doctor as doctor
from o2trio.cli._arguments import parser
from o2trio.rest import _limits as limits
from o2trio.simulator import Flavor, open_simulator
from o2trio.streams import _machine as machine
from o2trio.testing import FAULT_KINDS, STORM_KINDS
from o2trio.testing._fault_kinds import FAULTS
from o2trio.wire import RANKS, Rank

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docutils.nodes import TextElement, reference
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "o2trio"
author = "The o2trio maintainers"
project_copyright = "the o2trio maintainers"
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
release = version = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinxcontrib_trio",
]
# Figures are a part of a page, not one of their own.
exclude_patterns = ["_build", "explanation/soak-figures.rst", "explanation/speed-figures.rst"]

html_theme = "furo"
html_title = f"o2trio {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}

napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Otherwise fields with a docstring of their own would be listed twice.
napoleon_use_ivar = True

nitpicky = True
# Names that live in the documentation of others, which this build does not read.
nitpick_ignore_regex = [
    (r"py:.*", r"(attrs?|collections|contextlib|datetime|decimal|enum|fractions|os|pathlib)\..*"),
    (r"py:.*", r"(ssl|types|typing)\..*"),
    # Parts of the embedded exchange that nobody needs to look up.
    (r"py:class", r"o2trio\.simulator\._(accounts\.Access|journal\.Journal)"),
    (r"py:.*", r"(h11|httpcore2|httpx2|trio|trio_websocket|wsproto)\..*"),
    (r"py:(class|obj)", r"bool|bytes|dict|float|frozenset|int|list|object|optional|set|str|tuple|type"),
    (r"py:(class|exc|obj)", r"Exception|(Connection|Lookup|OS|Overflow|Runtime|Timeout|Type|Value)Error"),
    # Type variables.
    (r"py:(class|obj|typevar)", r"(.*\.)?_?[A-Z](_co|_contra)?"),
]

ENTRY = re.compile(r"(?P<indent> +)(?P<names>[\w.]+(, [\w.]+)*): (?P<text>.*)")
"""A line of a docstring that begins the entry of an argument, a field or an error, or of several."""


def prepare_docstring(
    _app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Tell napoleon what we mean: ``a, b: text`` is said of each, and a field's docstring names no type.

    An empty comment keeps it from reading "An update: with ..." as a type and its description.
    """
    if what in {"attribute", "property"}:
        lines[:0] = ["..", ""]
    prepared: list[str] = []
    while lines:
        line = lines.pop(0)
        if found := ENTRY.fullmatch(line):
            indent, text = found["indent"], found["text"]
            while lines and lines[0].startswith(f"{indent} "):
                text += f" {lines.pop(0).strip()}"
            prepared += [f"{indent}{name}: {text}" for name in found["names"].split(", ")]
        else:
            prepared.append(line)
    lines[:] = prepared


def hide_constructor(
    app: Sphinx, what: str, name: str, obj: type, _options: object, signature: str | None, _result: object
) -> None:
    """Forget the types of a constructor that a page hides (``Name()``) or whose fields have them already."""
    if what == "exception" or (what == "class" and (signature == "()" or attrs.has(obj))):
        app.env.current_document.autodoc_annotations.pop(name, None)


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: TextElement
) -> reference | None:
    """Resolve a class by its last name, wherever it is documented: annotations name private modules.

    A method of the client is documented with the part of the client that has it.
    """
    target = node.get("reftarget", "")
    name = target.rpartition(".")[2]
    objects = env.domains.python_domain.objects
    if "O2Client." in target:
        parts = [f"o2trio.{part.__name__}.{name}" for part in O2Client.__mro__]
        matches = [full for full in parts if full in objects]
    else:
        matches = sorted(
            (full for full in objects if full.endswith(f".{name}")), key=lambda full: (len(full), full)
        )
        if not name[:1].isupper():
            matches = []
    if node.get("refdomain") != "py" or not matches:
        return None
    entry = objects[matches[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, matches[0])


# -- tables and texts that are made from the code, so that they cannot go out of date ----------------------


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table as reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'  -' if index else '* -'} {cell}" for index, cell in enumerate(row)]
    return "\n".join(lines)


class Generated(SphinxDirective):
    """A directive that writes reStructuredText."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(self.text())

    def text(self) -> str:
        raise NotImplementedError


class MachineWords(Generated):
    """``.. machine-words:: State`` lists the states, events or actions of a topic that need explaining."""

    def text(self) -> str:
        (owner,) = self.arguments
        found = ModuleAnalyzer.for_module(machine.__name__).find_attr_docs()
        docs = {name: " ".join(filter(None, lines)) for (kind, name), lines in found.items() if kind == owner}
        words = [member for member in getattr(machine, owner) if member.name in docs]
        return "\n".join(f"**{word.value}**\n   {docs[word.name]}\n" for word in words)


class MachineTable(Generated):
    """``.. machine-table:: NAME`` shows one of the two tables of a topic's life.

    Events of one state with the same consequence share a row; states that cannot be reached are left out.
    """

    def text(self) -> str:
        steps: machine.Table = getattr(machine, self.arguments[0])
        reached = {machine.State.NEW, *(step.state for step in steps.values())}
        rows = []
        for state in machine.State:
            events: dict[machine.Step, list[str]] = {}
            for (before, event), step in steps.items():
                if before is state and state in reached:
                    events.setdefault(step, []).append(event.value)
            name = f"**{state.value}**"
            for step, names in events.items():
                then = "stays" if step.state is state else step.state.value
                rows.append((name, ", ".join(names), step.action.value, then))
                name = ""
        return table(("In this state", "when this happens", "it does", "and is then"), rows)


class OptionTable(Generated):
    """``.. option-table::`` shows the name, default and unit of every option."""

    def text(self) -> str:
        return table(("Option", "Default", "Unit"), [self.row(field) for field in attrs.fields(Options)])

    @staticmethod
    def row(field: attrs.Attribute[object]) -> tuple[str, str, str]:
        value, name = field.default, f"``{field.name}``"
        if field.name == "jitter":
            return name, "``random.random``", "draws from 0 to 1"
        if field.name == "backoff_factor":
            return name, f"{value:g}", "factor"
        if value is None:
            return name, "None", "a count; None is no limit"
        if isinstance(value, float):
            return name, f"{value:g}", "seconds"
        return name, f"{value:,}".replace(",", " "), "bytes" if field.name.endswith("bytes") else "a count"


WRITES = {
    "session actions, of each owner": limits.Group.ACTIONS,
    "registering and renewing a session, of each owner": limits.Group.SESSION,
    "withdrawing and upgrading, of each owner": limits.Group.ACCOUNT_WRITES,
    "creating an account": limits.Group.ACCOUNT_CREATION,
    "the faucet and the whitelist (our own limit)": limits.Group.SERVICES,
}


class RateTable(Generated):
    """``.. rate-table:: [writes]`` shows how often each group of reads, or of writes, may be called."""

    def text(self) -> str:
        if self.arguments:
            rows = [(words, self.rate(limits.RATES[group])) for words, group in WRITES.items()]
            return table(("What changes something", "at most"), rows)
        rows = [(f"``{path}...``", self.rate(limits.RATES[group])) for path, group in limits._READ_GROUPS]
        rest = self.rate(limits.RATES[limits.Group.READS])
        return table(("Reads of", "at most"), [*rows, ("everything else", f"{rest} (``reads_per_second``)")])

    @staticmethod
    def rate(rate: limits.Rate) -> str:
        return f"{rate.count} in {rate.seconds:g} s"


class RankTable(Generated):
    """``.. rank-table:: NAME ...`` shows what each field of some classes is needed for."""

    final_argument_whitespace = True

    def text(self) -> str:
        rows = []
        for name in self.arguments[0].split():
            cells = [", ".join(f"``{field}``" for field in fields) for _rank, fields in RANKS[name]]
            rows.append((f"``{name}``", *cells))
        return table(("Of", *(rank.value for rank in Rank)), rows)


class FaultTable(Generated):
    """``.. fault-table::`` shows each kind of fault, its arguments, and whether storms draw it by default."""

    def text(self) -> str:
        return table(("Kind", "Arguments", "Drawn by default"), [self.row(name) for name in FAULT_KINDS])

    @staticmethod
    def row(name: str) -> tuple[str, str, str]:
        arguments = ", ".join(f"``{argument}``" for argument in FAULTS[name].draws)
        return f"``{name}``", arguments or "none", "yes" if name in STORM_KINDS else "no"


class Networks(Generated):
    """``.. networks::`` shows where the exchange's deployments are."""

    def text(self) -> str:
        found = [(f"Network.{item.name}", item.value.rest_url, item.value.websocket_url) for item in Network]
        rows = [tuple(f"``{cell}``" for cell in row) for row in found]
        return table(("Name", "REST", "WebSocket"), rows)


class CommandHelp(SphinxDirective):
    """``.. command-help:: [COMMAND]`` shows what ``o2trio [COMMAND] --help`` prints."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        chosen = parser()
        if self.arguments:
            (commands,) = (
                action for action in chosen._actions if isinstance(action, argparse._SubParsersAction)
            )
            chosen = commands.choices[self.arguments[0]]
        with mock.patch.dict(os.environ, COLUMNS="100", NO_COLOR="1"):
            text = chosen.format_help()
        return [nodes.literal_block(text, text, language="text")]


class DoctorSample(SphinxDirective):
    """``.. doctor-sample:: table`` or ``report`` shows what the doctor says about the embedded exchange."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = doctor_sample(self.arguments[0])
        return [nodes.literal_block(text, text, language="text")]


def doctor_sample(what: str) -> str:
    """Examine the embedded exchange in virtual time; the same at each build but for the date."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # Sphinx shows what is logged.

    async def examine() -> str:
        async with open_simulator(flavor=Flavor(heartbeat="protocol")) as simulator:
            simulator.run_flow(300)
            evidence = doctor.Evidence(simulator.network)
            await doctor.diagnose(evidence)
        findings = doctor.judge(evidence)
        if what == "table":
            return "\n".join(doctor.table_of(evidence, findings))
        report = doctor.report_of(evidence, findings)
        answers = report["answers"]
        assert isinstance(answers, dict)
        return json.dumps({"depth": answers["depth"]}, indent=2)

    return trio.run(examine, clock=MockClock(autojump_threshold=0))


def setup(app: Sphinx) -> None:
    for name, directive in {
        "machine-words": MachineWords,
        "machine-table": MachineTable,
        "option-table": OptionTable,
        "rank-table": RankTable,
        "fault-table": FaultTable,
        "networks": Networks,
        "rate-table": RateTable,
        "command-help": CommandHelp,
        "doctor-sample": DoctorSample,
    }.items():
        app.add_directive(name, directive)
    # Before napoleon, which listens at the usual priority of 500.
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)
    app.connect("missing-reference", find_public_name)
    # After the types are recorded.
    app.connect("autodoc-process-signature", hide_constructor, priority=900)
