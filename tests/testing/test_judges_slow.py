"""What is judged of consumers that wait, sleep and look in: in time, timed breaks, conflation, bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from o2trio import (
    BalanceUpdate,
    Gap,
    NonceUpdate,
    Options,
    Origin,
    TopicBroken,
    TopicRestored,
)
from o2trio._nursery import BareNursery
from o2trio.streams import Action, Mailbox
from o2trio.streams._topic import _ACTIONS, Topic
from o2trio.streams._trades import TradeLag
from o2trio.testing import _users
from o2trio.testing._judges_account import StateJudge
from o2trio.testing._sources import Source, accounts, depth, trades
from o2trio.testing._users import Manner, StreamUser
from o2trio.testing._watch import Watch, watch_of
from o2trio.testing._world import BrokenPromise, Promise, World
from o2trio.wire import Kind

from ._lies import FUEL, Lie, drop, served, small_world, verdicts

MANNERS = {
    "eager": Manner(),
    "impatient": Manner(patience=4.0),
    "in batches": Manner(in_batches=True),
    "sleepy": Manner(nap=30.0, nap_chance=0.05),
    "sleepy in batches": Manner(nap=30.0, nap_chance=0.05, in_batches=True),
    "looks in": Manner(poll=20.0),
}
ALL = dict.fromkeys(MANNERS, Promise.APART.value)
NONE = dict.fromkeys(MANNERS, "")


@pytest.fixture
def soon_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes wrong here, so all is calm from the beginning."""
    monkeypatch.setattr(_users, "LIVENESS_SECONDS", -1e6)


async def _complaints(
    source: Source, wrong: Callable[[World], None] = lambda world: None, **changes: Any
) -> dict[str, str]:
    """Return which promise is broken for whom, in each manner, when something begins to be wrong."""
    found = dict.fromkeys(MANNERS, "")
    async with (
        small_world(**{"rate": 1.0, **changes}) as world,
        served(world),
        trio.open_nursery() as nursery,
    ):

        async def use(name: str) -> None:
            user = StreamUser(world.random_for("user"), source, MANNERS[name])
            try:
                await user.run(world)
            except BrokenPromise as broken:
                found[name] = broken.promise.value

        for name in MANNERS:
            nursery.start_soon(use, name)
        await trio.sleep(100)
        wrong(world)
        await trio.sleep(200)
        nursery.cancel_scope.cancel()
    return found


# -- in time -------------------------------------------------------------------------------------------


def _stall(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Keep everything from the buffers that comes during so many seconds, then let it in at once."""
    push_all, until = Mailbox.push_all, trio.current_time() + seconds
    kept: list[Any] = []

    def late(self: Any, items: Any, source: Any, now: float) -> bool:
        kept.append((self, items, source))
        return False

    async def release() -> None:
        await trio.sleep_until(until)
        patch.setattr(Mailbox, "push_all", push_all)
        for mailbox, items, source in kept:
            push_all(mailbox, items, source, until)

    patch.setattr(Mailbox, "push_all", late)
    trio.lowlevel.spawn_system_task(release)


SOURCES = [trades, depth(1), accounts(Kind.NONCE, 3, seed=True)]
NAMES = ["trades", "depth", "nonces"]


@pytest.mark.usefixtures("soon_calm")
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
async def test_items_that_are_kept_for_a_while_are_late_for_everybody(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    # With room enough: what is conflated is as new as its newest part.
    found = await _complaints(source, lambda world: _stall(monkeypatch, 40.0), buffer_size=1000)
    assert found == ALL


@pytest.mark.usefixtures("soon_calm")
async def test_items_that_are_always_late_are_late_for_everybody(autojump_clock: MockClock) -> None:
    assert await _complaints(trades, lambda world: world.sim.set_latency(3)) == ALL


@pytest.mark.usefixtures("soon_calm")
@pytest.mark.parametrize("buffer_size", [4, 64])
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
async def test_nobody_is_late_because_the_consumer_is(
    autojump_clock: MockClock, source: Source, buffer_size: int
) -> None:
    assert await _complaints(source, rate=3.0, buffer_size=buffer_size) == NONE


@pytest.mark.usefixtures("soon_calm")
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
async def test_what_a_break_holds_up_is_not_late(autojump_clock: MockClock, source: Source) -> None:
    def wrong(world: World) -> None:
        world.sim.drop_connections()
        world.sim.refuse_handshakes(503, count=3)

    assert await _complaints(source, wrong, rate=3.0) == NONE


# -- timed breaks --------------------------------------------------------------------------------------


WATCHED: Any = type("Client", (), {})()


def _broke(time: float, epoch: int, topic: str = "trades") -> TopicBroken:
    return TopicBroken(time=time, topic=topic, epoch=epoch, reason="")


def _mended(time: float, epoch: int, topic: str = "trades") -> TopicRestored:
    return TopicRestored(time=time, topic=topic, epoch=epoch, repaired=True)


def test_a_break_is_timed_once_from_its_beginning_to_its_end() -> None:
    watch = Watch(WATCHED, Options())
    watch.hear(_broke(10, 1))
    assert watch.recoveries == []
    watch.hear(_mended(14, 1))
    # Breaks that come before the mending: one recovery, from the first on. Others are timed apart.
    watch.hear(_broke(40, 2))
    watch.hear(_broke(41, 1, "depth"))
    watch.hear(_broke(45, 3))
    watch.hear(_mended(48, 1, "depth"))
    watch.hear(_mended(60, 3))
    assert watch.recoveries == [4, 7, 20]


def test_a_stream_that_ended_broken_is_not_timed() -> None:
    watch = Watch(WATCHED, Options())
    watch.hear(_broke(10, 1))
    # Somebody subscribed anew, which makes another stream of the same name.
    watch.hear(_broke(100, 1))
    watch.hear(_mended(103, 1))
    assert watch.recoveries == [3]


async def test_recoveries_are_those_that_happened(autojump_clock: MockClock) -> None:
    """Each break of a real stream is timed by who takes all at once, and by nobody else."""
    async with small_world(rate=1.0) as world, served(world) as client, trio.open_nursery() as nursery:
        eager, sleepy = (
            StreamUser(world.random_for("user"), trades, manner) for manner in (Manner(), MANNERS["sleepy"])
        )
        async with client.events() as events:
            for user in (eager, sleepy):
                nursery.start_soon(user.run, world)
            for number in range(3):
                await trio.sleep(100)
                # The last one cannot be mended: the mark is no recovery, but what comes behind it is.
                if number == 2:
                    world.sim.rest.go_down()
                world.sim.drop_connections()
            await trio.sleep(100)
            told = [events.receive_nowait() for _ in range(events.statistics().buffered)]
        began = [event.time for event in told if isinstance(event, TopicBroken)]
        ended = [event.time for event in told if isinstance(event, TopicRestored)][-len(began) :]
        assert len(began) == 3
        assert eager.gaps == 1
        watch = watch_of(world, client)
        assert watch.recoveries == [end - begin for begin, end in zip(began, ended, strict=True)]
        nursery.cancel_scope.cancel()


async def test_an_epoch_that_no_break_began_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = Topic._admit

    def ahead(self: Topic, update: Any) -> bool:
        admitted = admit(self, update)
        object.__setattr__(update, "epoch", self.epoch + 1)
        return admitted

    def wrong(world: World) -> None:
        monkeypatch.setattr(Topic, "_admit", ahead)

    marked = dict.fromkeys(MANNERS, Promise.MARKED.value)
    assert await _complaints(trades, wrong) == marked


# -- conflation ----------------------------------------------------------------------------------------

SLOW = Manner(nap=20.0, nap_chance=0.3)


def _key(update: Any) -> Any:
    """Return what an update of one thing is about, and the value; None if it is about several."""
    if isinstance(update, NonceUpdate):
        return update.contract_id
    if isinstance(update, BalanceUpdate) and len(update.balance) == 1:
        return update.balance[0].identity, update.balance[0].asset_id
    return None


def _about(tell: Any, suits: Callable[[Lie], bool], *, lasts: bool = False) -> Lie:
    """Lie about a live update of something of which the truth was told just before; give both to `tell`.

    Both must suit: while the consumer is slow, or afterwards. With `lasts` again and again.
    """
    told: dict[Any, Any] = {}
    older: list[Any] = []

    def is_known(update: Any) -> bool:
        older.clear()
        if update.origin is not Origin.LIVE:
            told.clear()
            return False
        key = (update.epoch, _key(update))
        if key[1] is None or not suits(lie):
            told.pop(key, None)
            return False
        if key in told:
            older.append(told.pop(key))
            return True
        told[key] = update
        return False

    lie = Lie(lambda update, before: tell(update, older[0]), is_known, skip=0, lasts=lasts)
    return lie


def _was_slow(lie: Lie) -> bool:
    """Tell whether it had been too slow, and then had all again."""
    return lie.most > 0 and not lie.conflated


def _is_slow(lie: Lie) -> bool:
    return lie.conflated > 0


@pytest.mark.parametrize("kind", [Kind.NONCE, Kind.BALANCES], ids=str)
async def test_every_lie_to_a_slow_consumer_is_found(autojump_clock: MockClock, kind: Kind) -> None:
    def silent(update: Any) -> bool:
        return trio.current_time() > 300 and lies["silent"].most > 0

    lies = {
        "honest": Lie(lambda update, before: [update]),
        "silent": Lie(drop, silent, skip=0, lasts=True),
        "turn back while slow": _about(lambda update, older: [update, older], _is_slow),
        "skip when it has caught up": _about(lambda update, older: [], _was_slow, lasts=True),
        "turn back when it has caught up": _about(lambda update, older: [update, older], _was_slow),
    }
    source = accounts(kind, 10, seed=True)
    found = await verdicts(source, lies, manner=SLOW, seconds=700.0, rate=3.0, buffer_size=4)
    assert lies["honest"].most > 0, "it is slow indeed"
    assert found == {
        "honest": "not found out",
        "silent": "marked losses",
        "turn back while slow": "order and exactness",
        "skip when it has caught up": "order and exactness",
        "turn back when it has caught up": "order and exactness",
    }


async def test_a_mark_in_the_middle_of_an_epoch_excuses_what_it_hides(autojump_clock: MockClock) -> None:
    """What overflowed and could not be conflated is behind a mark, without a break."""
    marks: list[Any] = []

    def listen(update: Any) -> bool:
        if update.origin is Origin.GAP:
            marks.append(update)
        return False

    lies = {"honest": Lie(lambda update, before: [update], listen)}
    changes: dict[str, Any] = {"buffer_size": 4, "conflation_limit": 1}
    source = accounts(Kind.NONCE, 10, seed=True)
    assert await verdicts(source, lies, manner=SLOW, rate=3.0, **changes) == {"honest": "never told"}
    assert any("too slow" in mark.gap.reason for mark in marks)


@pytest.mark.parametrize("is_marked", [True, False])
async def test_only_a_mark_excuses_a_value_that_is_left_out(
    autojump_clock: MockClock, is_marked: bool
) -> None:
    async with small_world(flow=False) as world:
        account = world.sim.create_account()
        who = account.trade_account_id
        judge = StateJudge(world, "tester", Kind.NONCE, (who,), seed=False)
        judge.open()
        told: list[NonceUpdate] = []
        for _ in range(5):
            await trio.sleep(1)
            world.sim.place(account, FUEL, "buy", price="0.0100", quantity="2000")
            record = world.audit.nonces(account)[-1]
            told.append(
                NonceUpdate(contract_id=who, nonce=record.value, seen_timestamp=record.seen_timestamp)
            )
        gap = Gap(since=trio.current_time() - 3, until=trio.current_time())
        told[3:4] = [NonceUpdate(origin=Origin.GAP, gap=gap)] if is_marked else []

        async def take(update: NonceUpdate) -> None:
            await trio.sleep(1)
            judge.had_all = trio.current_time()
            judge.take(update)

        for update in told[:-1]:
            await take(update)
        if is_marked:
            await take(told[-1])
        else:
            with pytest.raises(BrokenPromise, match="value 5 came after value 3"):
                await take(told[-1])


async def test_the_last_word_must_be_told_even_of_what_is_conflated(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that forgets one thing when it replaces many by few."""
    conflated = Topic.conflated

    def forgetful(self: Topic, items: list[Any]) -> list[Any] | None:
        fewer = conflated(self, items)
        return fewer[:-1] if fewer else fewer

    monkeypatch.setattr(Topic, "conflated", forgetful)
    lies = {"honest": Lie(lambda update, before: [update])}
    source = accounts(Kind.NONCE, 10, seed=True)
    found = await verdicts(source, lies, manner=SLOW, seconds=300.0, rate=3.0, buffer_size=12)
    assert found["honest"] in {"state at quiescence", "order and exactness"}


# -- bounds --------------------------------------------------------------------------------------------


async def _expect_unbounded(source: Source, manner: Manner, **changes: Any) -> str:
    async with small_world(**{"rate": 3.0, **changes}) as world, served(world):
        user = StreamUser(world.random_for("user"), source, manner)

        async def use() -> None:
            async with BareNursery() as nursery:
                nursery.start_soon(user.run, world)
                while True:
                    await trio.sleep(50)
                    world.sim.rest.slow(12)
                    world.sim.drop_connections()

        with pytest.raises(BrokenPromise) as broken, trio.fail_after(900):
            await use()
        assert broken.value.promise is Promise.BOUNDED
        return broken.value.detail


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
async def test_a_buffer_that_grows_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    def keep(self: Any, item: Any, source: Any, now: float) -> None:
        self._buffer.append(item)

    monkeypatch.setattr(Mailbox, "_overflow", keep)
    told = await _expect_unbounded(source, Manner(nap=60.0, nap_chance=0.3), buffer_size=4)
    assert "are buffered" in told


async def test_what_grows_beside_the_buffer_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TradeLag, "hold", lambda self, item: self._held.append(item))
    slow = Manner(nap=60.0, nap_chance=0.3)
    assert "for a slow consumer" in await _expect_unbounded(trades, slow, buffer_size=4)


async def test_what_grows_during_a_repair_is_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_ACTIONS, Action.HOLD, lambda self, update, reason: self.held.append(update))
    assert "holds" in await _expect_unbounded(trades, Manner(), buffer_size=4)
