"""Plain calls and awaited ones inside a running loop, in a process of their own."""

from __future__ import annotations

from tests.bridge.conftest import Program


def test_a_plain_call_on_a_loop_works_and_warns_once(program: Program) -> None:
    lines = program.run("""
        import asyncio
        from shop import add

        async def main():
            results = [add.delay(20, 22), add.delay(1, 1), add.options(priority=3).delay(2, 2)]
            print([await result for result in results])

        asyncio.run(main())
    """)
    assert [line for line in lines if "Warning" in line] == [lines[0]]
    assert "program.py:6: RuntimeWarning" in lines[0]
    assert "await task.adelay" in lines[0]
    assert lines[-1] == "[42, 2, 4]"


def test_get_on_a_loop_names_what_to_write_instead(program: Program) -> None:
    lines = program.run("""
        import asyncio
        from shop import add
        from umbel.errors import UmbelError

        async def main():
            result = await add.adelay(20, 22)
            try:
                result.get(timeout=10)
            except UmbelError as error:
                print(error)
            print(await result)

        asyncio.run(main())
    """)
    assert "`await result`" in lines[0]
    assert lines[1:] == ["42"]


def test_a_plain_call_from_the_background_loop_itself_is_refused(program: Program) -> None:
    lines = program.run("""
        from shop import add, app
        from umbel import bridge
        from umbel.errors import UmbelError

        result = add.delay(20, 22)

        async def inside():
            for ask in (lambda: result.state, lambda: app.revoke("x"), app.close):
                try:
                    ask()
                except UmbelError as error:
                    print(error)

        bridge.get().run(inside())
        print(result.get(timeout=60))
    """)
    assert len(lines) == 4
    assert {line.partition(":")[0] for line in lines[:3]} == {
        "a plain call from umbel's own background loop would wait for itself"
    }
    assert lines[3] == "42"


def test_many_loops_one_after_the_other_share_the_connections(program: Program) -> None:
    lines = program.run("""
        import asyncio, threading
        from shop import add, app

        async def once(n):
            async with asyncio.timeout(60):
                return await (await add.adelay(n, n))

        print([asyncio.run(once(n)) for n in range(3)])

        def elsewhere():
            print(asyncio.run(once(4)))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        print(sum(thread.name == "umbel-bridge" for thread in threading.enumerate()))

        async def many():
            results = await add.adelay_many((n, 1) for n in range(50))
            return sorted([await result async for result in app.as_completed(results, timeout=60)])

        print(asyncio.run(many()) == list(range(1, 51)))
    """, "-W", "error")  # fmt: skip
    assert lines == ["[0, 2, 4]", "8", "1", "True"]
