"""What comes out of a nursery is one error, bare."""

# What is raised comes out of an ``async with``, which is no simple statement.
# ruff: noqa: PT012

from __future__ import annotations

import pytest
import trio
import trio.testing

from o2trio._nursery import BareNursery


async def fail(error: BaseException) -> None:
    raise error


async def test_a_quiet_body_ends_its_tasks() -> None:
    async with BareNursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()


async def test_the_error_of_the_body_comes_out_as_it_is() -> None:
    boom = ValueError("body")
    with pytest.raises(ValueError, match="body") as caught:
        async with BareNursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise boom
    assert caught.value is boom


async def test_the_error_of_a_task_comes_out_as_it_is_with_its_own_context() -> None:
    boom, cause = ValueError("task"), KeyError("before")

    async def task() -> None:
        try:
            raise cause
        except KeyError:
            raise boom  # noqa: B904

    with pytest.raises(ValueError, match="task") as caught:
        async with BareNursery() as nursery:
            nursery.start_soon(task)
            await trio.sleep_forever()
    assert caught.value is boom
    assert caught.value.__context__ is cause


async def test_of_both_the_body_counts() -> None:
    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("task")

    with pytest.raises(ValueError, match="body"):
        async with BareNursery() as nursery:
            nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
            raise ValueError("body")


async def test_of_two_tasks_one_counts() -> None:
    with pytest.raises(ValueError, match=r"one|two"):
        async with BareNursery() as nursery:
            nursery.start_soon(fail, ValueError("one"))
            nursery.start_soon(fail, ValueError("two"))
            await trio.sleep_forever()


async def test_nested_groups_are_opened() -> None:
    with pytest.raises(ValueError, match="deep"):
        async with BareNursery() as nursery:
            nursery.start_soon(fail, ExceptionGroup("a", [ExceptionGroup("b", [ValueError("deep")])]))
            await trio.sleep_forever()


@pytest.mark.parametrize("by", ["body", "task"])
async def test_an_exit_is_never_hidden(by: str) -> None:
    async def task(error: BaseException) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    stop, other = KeyboardInterrupt(), ValueError("other")
    mine, yours = (stop, other) if by == "body" else (other, stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        async with BareNursery() as nursery:
            nursery.start_soon(task, yours)
            await trio.testing.wait_all_tasks_blocked()
            raise mine
    assert caught.value is stop


async def test_an_error_beside_an_outer_cancellation_comes_out() -> None:
    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while stopping")

    with pytest.raises(ValueError, match="while stopping"), trio.CancelScope() as scope:
        async with BareNursery() as nursery:
            nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.sleep_forever()


@pytest.mark.parametrize("waiting", [True, False])
async def test_an_outer_cancellation_reaches_its_scope(waiting: bool) -> None:
    with trio.CancelScope() as scope:
        async with BareNursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            if waiting:
                await trio.sleep_forever()
    assert scope.cancelled_caught is waiting or scope.cancel_called


async def test_its_own_cancellation_stays_inside() -> None:
    async with BareNursery() as nursery:
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()
    await trio.lowlevel.checkpoint()
