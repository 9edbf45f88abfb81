"""What comes out of a nursery is one error, bare."""

# What is raised comes out of an ``async with``, which is no simple statement.
# ruff: noqa: PT012

from __future__ import annotations

import logging

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


async def test_of_both_the_body_counts_and_the_other_is_noted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Seen here: a second error was dropped without a trace."""

    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("task")

    with pytest.raises(ValueError, match="body") as caught:
        async with BareNursery() as nursery:
            nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
            raise ValueError("body")
    assert caught.value.__notes__ == ["occurred together with KeyError: 'task'"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "KeyError: 'task' occurred together with ValueError: body"
    assert isinstance((record.exc_info or (None, None, None))[1], KeyError)


async def test_of_two_tasks_one_counts_and_the_other_is_noted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [ValueError("one"), TypeError("two")]
    with pytest.raises((ValueError, TypeError)) as caught:
        async with BareNursery() as nursery:
            for error in errors:
                nursery.start_soon(fail, error)
            await trio.sleep_forever()
    (other,) = (error for error in errors if error is not caught.value)
    assert caught.value.__notes__ == [f"occurred together with {type(other).__name__}: {other}"]
    assert [(record.exc_info or (None, None, None))[1] for record in caplog.records] == [other]


async def test_the_same_error_twice_is_noted_but_logged_for_debugging_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The reader and the writer of a connection that is lost often find out together."""
    caplog.set_level(logging.DEBUG, "o2trio")
    with pytest.raises(ValueError, match="lost") as caught:
        async with BareNursery() as nursery:
            nursery.start_soon(fail, ValueError("lost"))
            nursery.start_soon(fail, ValueError("lost"))
            await trio.sleep_forever()
    assert caught.value.__notes__ == ["occurred together with ValueError: lost"]
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]


async def test_the_notes_are_bounded_and_the_log_has_all(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="x") as caught:
        async with BareNursery() as nursery:
            for number in range(20):
                nursery.start_soon(fail, ValueError(f"{number} " + "x" * 10_000))
            await trio.sleep_forever()
    assert len(caught.value.__notes__) == 9
    assert caught.value.__notes__[-1] == "and with 11 further errors; the log has them all"
    assert max(map(len, caught.value.__notes__)) < 400
    assert len(caplog.records) == 19


async def test_a_cancellation_beside_an_error_is_not_noted(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="only") as caught, trio.CancelScope() as scope:
        async with BareNursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail, ValueError("only"))
            scope.cancel()
            await trio.sleep_forever()
    assert not hasattr(caught.value, "__notes__")
    assert caplog.records == []


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
    assert stop.__notes__ == ["occurred together with ValueError: other"]


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
    # Leaving is a checkpoint as it is for a nursery, so the cancellation is delivered there at the latest.
    assert scope.cancelled_caught


async def test_its_own_cancellation_stays_inside() -> None:
    async with BareNursery() as nursery:
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()
    await trio.lowlevel.checkpoint()
