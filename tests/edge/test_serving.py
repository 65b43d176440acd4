import asyncio
import functools

from joyn.edge.serving import Serving


def in_a_loop(test):
    @functools.wraps(test)
    def run():
        asyncio.run(test())

    return run


@in_a_loop
async def test_what_was_begun_in_one_turn_runs_in_the_next_and_in_order():
    done = []

    async def work(name):
        done.append(name)

    serving = Serving()
    for name in "abc":
        serving.begin(work(name))
    assert done == []
    await asyncio.sleep(0)
    assert done == ["a", "b", "c"]
    assert len(serving) == 0


@in_a_loop
async def test_what_waits_goes_on_with_the_result():
    future, told = asyncio.get_running_loop().create_future(), []

    async def inner():
        return await future

    async def work():
        await asyncio.sleep(0)
        told.append(await inner())
        told.append(await inner())

    serving = Serving()
    serving.begin(work())
    assert len(serving) == 1
    future.set_result("here")
    await serving.ended(1.0)
    assert told == ["here", "here"]
    assert len(serving) == 0


@in_a_loop
async def test_an_exception_arrives_where_it_is_waited_for():
    future, told = asyncio.get_running_loop().create_future(), []

    async def work():
        try:
            await future
        except ValueError as error:
            told.append(str(error))

    serving = Serving()
    serving.begin(work())
    future.set_exception(ValueError("no"))
    await serving.ended(1.0)
    assert told == ["no"]


@in_a_loop
async def test_what_waits_for_something_cancelled_ends():
    future = asyncio.get_running_loop().create_future()
    serving = Serving()

    async def work():
        await future

    serving.begin(work())
    future.cancel()
    await serving.ended(1.0)
    assert len(serving) == 0


@in_a_loop
async def test_a_bug_in_one_keeps_none_of_the_others_from_running():
    told, done = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))

    async def wrong():
        raise KeyError("bug")

    async def right():
        done.append(1)

    serving = Serving()
    serving.begin(wrong())
    serving.begin(right())
    await serving.ended(1.0)
    assert [type(error) for error in told] == [KeyError]
    assert done == [1]
    assert len(serving) == 0


@in_a_loop
async def test_patience_is_bounded():
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work():
        await future

    serving = Serving()
    serving.begin(work())
    await serving.ended(0.001)
    assert len(serving) == 1
    future.set_result(None)
    await serving.ended(1.0)
