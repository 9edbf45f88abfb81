"""What tests let go wrong with REST: the plan, without I/O. The server carries it out (``_server``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import ceil, inf
from random import Random

import attrs

from ._audit import MAX_STALE_SECONDS
from ._limits import LIMITS, Limit, Limiter
from ._requests import Response, error

__all__ = ["RestFaults", "RestRequest", "Verdict"]

REQUESTS_KEPT = 10_000
"""How many of the latest requests are remembered for tests."""

_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n"
    "<center><h1>{0}</h1></center>\r\n<hr><center>gateway</center>\r\n</body>\r\n</html>\r\n"
)
_TITLES = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}

_BUSY, _LIMITED = 1000, 1003


@attrs.frozen(slots=True)
class RestRequest:
    """One REST request that arrived.

    Attributes:
      time: when, on Trio's clock.
      method, target: as sent.
      status: of the answer; 0 when the connection was cut instead.
    """

    time: float
    method: str
    target: str
    status: int


@attrs.define(slots=True)
class Verdict:
    """What shall happen to one request.

    Attributes:
      response: answer this instead of the truth.
      executes: with `response`, execute what is asked for all the same.
      cut: cut the connection in the middle of the answer.
      unheard: cut it at once, and execute nothing.
      repeat: execute it twice; the second answer is given.
      deferred: seconds between the arrival and the execution.
      gone: with `deferred`, cut the connection at the arrival.
      delay: seconds between the making and the sending of the answer.
      lag: how old the answer is, nanoseconds.
    """

    response: Response | None = None
    executes: bool = False
    cut: bool = False
    unheard: bool = False
    repeat: bool = False
    deferred: float = 0.0
    gone: bool = False
    delay: float = 0.0
    lag: int = 0


@attrs.define(slots=True, kw_only=True)
class _Rule:
    """A fault for some of the next requests; `effect` changes the verdict."""

    effect: Callable[[Verdict], None]
    decides: bool
    path: str
    left: float
    probability: float


class RestFaults:
    """Makes REST misbehave on demand, while WebSockets live; everything is off in the beginning.

    Faults add up until :meth:`heal`. Of those that answer or cut, the one that was asked for first acts,
    until its `count` is used up. What they have in common:

    Args of each fault:
      path: only requests whose path begins with it, for example ``"/v1/trades"``; by default all.
      count: so many requests; by default until :meth:`heal`.
      probability: of hitting each request; drawn from the simulator's seed.

    Each fault raises ValueError for an argument that makes no sense.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"o2 rest faults {seed}")
        self._rules: list[_Rule] = []
        self._lags: dict[str, int] = {}
        self._limiter: Limiter | None = None
        self._requests: deque[RestRequest] = deque(maxlen=REQUESTS_KEPT)
        self._is_down = False
        self.on_down: Callable[[], None] = lambda: None
        """Called when REST goes down; set by the server."""

    # -- what tests use ----------------------------------------------------------------------------

    @property
    def requests(self) -> Sequence[RestRequest]:
        """The latest requests, oldest first."""
        return tuple(self._requests)

    @property
    def is_down(self) -> bool:
        """Whether REST cannot be reached."""
        return self._is_down

    def fail(
        self,
        status: int = 500,
        *,
        code: int | None = None,
        retry_after: float | None = None,
        html: bool = False,
        after: bool = False,
        path: str = "",
        count: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Answer with an error.

        Args:
          status: of HTTP.
          code: of the exchange; by default 1003 for status 429 and 1000 for others.
          retry_after: seconds to name in ``Retry-After``.
          html: answer with the page of a gateway instead of the exchange's envelope.
          after: execute what was asked for before that, as behind a gateway that does not wait long enough.
          path, count, probability: which requests; see the class.
        """
        if not 200 <= status <= 599:
            raise ValueError(f"status must be 200 to 599, not {status}")
        headers = () if retry_after is None else (("Retry-After", f"{retry_after:g}"),)
        if html:
            title = _TITLES.get(status, str(status))
            answer = Response(
                status=status, body=_PAGE.format(title).encode(), content_type="text/html", headers=headers
            )
        else:
            chosen = code if code is not None else _LIMITED if status == 429 else _BUSY
            answer = error(status, chosen, "the simulator was asked to fail", headers)

        def effect(verdict: Verdict) -> None:
            verdict.response, verdict.executes = answer, after

        self._add(effect, path, count, probability, decides=True)

    def cut(
        self,
        *,
        before: bool = False,
        path: str = "",
        count: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Cut the connection in the middle of the answer: what was asked for has been done.

        Args:
          before: cut it when the request has arrived instead, and do nothing of what it asks for.
          path, count, probability: which requests; see the class.
        """

        def effect(verdict: Verdict) -> None:
            verdict.cut, verdict.unheard = True, before

        self._add(effect, path, count, probability, decides=True)

    def defer(
        self,
        seconds: float,
        *,
        cut: bool = False,
        path: str = "",
        count: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Execute requests so many seconds later, whether or not the client is still there then.

        Only the end of the simulator keeps them from being executed.

        Args:
          seconds: how much later; the answer comes after that, if anybody waits for it.
          cut: cut the connection at once; nobody will wait for it.
          path, count, probability: which requests; see the class.
        """
        _check_seconds(seconds)

        def effect(verdict: Verdict) -> None:
            verdict.deferred, verdict.gone = seconds, cut

        self._add(effect, path, count, probability, decides=False)

    def duplicate(self, *, path: str = "", count: int | None = None, probability: float = 1.0) -> None:
        """Execute requests twice and give the second answer, as a gateway that repeats; see the class."""

        def effect(verdict: Verdict) -> None:
            verdict.repeat = True

        self._add(effect, path, count, probability, decides=False)

    def slow(
        self, seconds: float, *, path: str = "", count: int | None = None, probability: float = 1.0
    ) -> None:
        """Make answers at once, but send them so many seconds later; other arguments as in the class."""
        _check_seconds(seconds)

        def effect(verdict: Verdict) -> None:
            verdict.delay += seconds

        self._add(effect, path, count, probability, decides=False)

    def stale(self, milliseconds: int, *, path: str = "") -> None:
        """Answer every read with the world of so many milliseconds ago, exactly, as an indexer that lags.

        Args:
          milliseconds: 0 is off; at most 60 seconds (:data:`MAX_STALE_SECONDS`).
          path: only paths that begin with it; the longest such path decides.
        """
        if not 0 <= milliseconds <= MAX_STALE_SECONDS * 1000:
            raise ValueError(f"milliseconds must be 0 to {MAX_STALE_SECONDS * 1000:g}, not {milliseconds}")
        self._lags[path] = milliseconds * 1_000_000

    def go_down(self) -> None:
        """Cut every REST connection and refuse new ones until :meth:`come_back`.

        In memory, dialling the REST host is refused. On a TCP port, which WebSockets share, connections are
        accepted and cut when they turn out to be REST.
        """
        self._is_down = True
        self.on_down()

    def come_back(self) -> None:
        """End :meth:`go_down`."""
        self._is_down = False

    def enforce_limits(self, reads_per_second: int | None = None) -> None:
        """Refuse with 429, code 1003 and ``Retry-After`` what exceeds the published limits.

        Args:
          reads_per_second: a limit for all other reads together, for which none is published.
        """
        others = () if reads_per_second is None else (Limit("GET", ("/",), reads_per_second, 1.0),)
        self._limiter = Limiter((*LIMITS, *others))

    def lift_limits(self) -> None:
        """End :meth:`enforce_limits`."""
        self._limiter = None

    def heal(self) -> None:
        """End everything that goes wrong; limits stay, and what was deferred is still executed."""
        self._rules.clear()
        self._lags.clear()
        self.come_back()

    # -- what the server uses ----------------------------------------------------------------------

    def judge(self, method: str, path: str, owner: str, now: float) -> Verdict:
        """Decide about one request.

        Args:
          method, path: of the request.
          owner: whom limits by owner count it for.
          now: seconds.
        """
        verdict = Verdict(lag=self._lag(path))
        for rule in self._rules:
            if not path.startswith(rule.path) or (rule.decides and (verdict.response or verdict.cut)):
                continue
            if self._random.random() < rule.probability:
                rule.effect(verdict)
                rule.left -= 1
        self._rules = [rule for rule in self._rules if rule.left > 0]
        if self._limiter is not None and not verdict.response:
            wait = self._limiter.wait(method, path, owner, now)
            if wait > 0:
                retry = (("Retry-After", str(ceil(wait))),)
                verdict.response = error(429, _LIMITED, "Rate limit exceeded", retry)
        return verdict

    def note(self, request: RestRequest) -> None:
        """Remember a request."""
        self._requests.append(request)

    # -- inside ------------------------------------------------------------------------------------

    def _lag(self, path: str) -> int:
        fitting = [prefix for prefix in self._lags if path.startswith(prefix)]
        return self._lags[max(fitting, key=len)] if fitting else 0

    def _add(
        self,
        effect: Callable[[Verdict], None],
        path: str,
        count: int | None,
        probability: float,
        *,
        decides: bool,
    ) -> None:
        if not 0 < probability <= 1:
            raise ValueError(f"probability must be above 0 and at most 1, not {probability!r}")
        if count is not None and count < 1:
            raise ValueError(f"count must be positive, not {count}")
        left = inf if count is None else count
        rule = _Rule(effect=effect, decides=decides, path=path, left=left, probability=probability)
        self._rules.append(rule)


def _check_seconds(seconds: float) -> None:
    if not 0 <= seconds < inf:
        raise ValueError(f"seconds must be a finite number from 0, not {seconds!r}")
