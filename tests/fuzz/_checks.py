"""Every check by name, with what it is given; the tests and ``benchmarks/soak_fuzz.py`` run the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz import _decoders, _hosts, _links

__all__ = ["CHECKS", "Check"]


@attrs.frozen
class Check:
    """One check.

    Attributes:
      given: where its cases come from.
      run: takes a case; fails if it is not survived.
      examples: how many cases the test suite tries.
    """

    given: st.SearchStrategy[Any]
    run: Callable[[Any], None]
    examples: int

    def search(self, examples: int | None = None, number: int | None = None) -> None:
        """Try cases: always the same ones, or with a `number` those of this seed; a failure is made small."""
        test = given(self.given)(self.run)
        if number is not None:
            test = seed(number)(test)
        settings(
            max_examples=examples or self.examples,
            derandomize=number is None,
            database=None,
            deadline=None,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(test)()


CHECKS = {
    "frames": Check(_decoders.FRAMES, _decoders.check_frame, 300),
    "noise": Check(_decoders.NOISE, _decoders.check_noise, 150),
    "answers": Check(_decoders.ANSWERS, _decoders.check_answer, 200),
    "errors": Check(_decoders.ERRORS, _decoders.check_error, 200),
    "exchanges": Check(_decoders.EXCHANGES, _decoders.check_exchange, 50),
    "streams": Check(_links.STREAMS, _links.check_stream, 60),
    "handshakes": Check(_links.HANDSHAKES, _links.check_handshake, 40),
    "refusals": Check(_links.REFUSALS, _links.check_refusal, 50),
    "requests": Check(_hosts.REQUESTS, _hosts.check_requests, 120),
    "calls": Check(_hosts.CALLS, _hosts.check_calls, 50),
    "clients": Check(_hosts.CLIENTS, _hosts.check_clients, 30),
}
