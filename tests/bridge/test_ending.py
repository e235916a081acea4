"""Calls while the interpreter or their own process ends: they work, or fail, and never hang."""

from __future__ import annotations

import pytest

from tests.bridge.conftest import Program


def test_exit_handlers_can_call_whether_they_were_registered_before_or_after_the_first_use(program: Program) -> None:
    lines = program.run("""
        import atexit
        from shop import add, app

        def call(name, x):
            print(name, add.delay(x, x).get(timeout=60), app.result("never").state, flush=True)

        atexit.register(call, "last", 4)
        print("main", add.delay(1, 1).get(timeout=60))
        atexit.register(call, "first", 3)
    """, "-W", "error")  # fmt: skip
    assert lines == ["main 2", "first 6 PENDING", "last 8 PENDING"]


def test_an_exit_handler_can_be_the_first_to_call(program: Program) -> None:
    lines = program.run("""
        import atexit
        from shop import add, app

        @atexit.register
        def call():
            results = add.delay_many([(n, n) for n in range(3)])
            print(sorted(result.get() for result in app.as_completed(results, timeout=60)), flush=True)
            app.close()
    """, "-W", "error")  # fmt: skip
    assert lines == ["[0, 2, 4]"]


def test_a_thread_that_outlives_the_main_one_can_call(program: Program) -> None:
    lines = program.run("""
        import threading
        from shop import add

        def late():
            threading.main_thread().join()
            print(add.delay(20, 22).get(timeout=60), flush=True)

        print(add.delay(1, 1).get(timeout=60))
        threading.Thread(target=late).start()
    """, "-W", "error")  # fmt: skip
    assert lines == ["2", "42"]


def test_a_thread_that_outlives_the_main_one_can_be_the_first_to_call(program: Program) -> None:
    lines = program.run("""
        import threading
        from shop import add

        def late():
            threading.main_thread().join()
            print(add.delay(20, 22).get(timeout=60), flush=True)

        threading.Thread(target=late).start()
    """, "-W", "error")  # fmt: skip
    assert lines == ["42"]


def test_coroutines_can_call_from_an_exit_handler(program: Program) -> None:
    lines = program.run("""
        import asyncio, atexit
        from shop import add

        async def call(x):
            result = await add.adelay(x, x)
            print(await result.aget(timeout=60), flush=True)

        atexit.register(lambda: asyncio.run(call(2)))
        asyncio.run(call(1))
        atexit.register(lambda: asyncio.run(call(3)))
    """, "-W", "error")  # fmt: skip
    assert lines == ["2", "6", "4"]


def test_a_wait_that_nobody_ends_does_not_keep_the_process(program: Program) -> None:
    lines = program.run("""
        import threading, time
        from shop import app

        waiting = threading.Thread(target=lambda: app.result("never").get(), daemon=True)
        waiting.start()
        while not app.backend.keeper.watcher._watches:
            time.sleep(0.01)
        print("over")
    """, "-W", "error")  # fmt: skip
    assert lines == ["over"]


@pytest.mark.parametrize("timeout", [None, 300])
def test_a_ctrl_c_that_does_not_wake_the_main_thread_ends_its_wait_all_the_same(
    program: Program, timeout: float | None
) -> None:
    lines = program.run(f"""
        import os, signal, threading
        from shop import app

        def interrupt():
            os.kill(os.getpid(), signal.SIGINT)

        result = app.result("never")
        assert result.state == "PENDING"
        other = threading.Timer(0.2, interrupt)
        try:
            other.start()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # so that the other thread gets it, as one may
            result.get({timeout})
        except KeyboardInterrupt:
            print("interrupted")
    """, "-W", "error")  # fmt: skip
    assert lines == ["interrupted"]
