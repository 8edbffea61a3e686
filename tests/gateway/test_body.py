import asyncio
from collections.abc import Iterable

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from reconciler.gateway.body import ClientBodyError, KeepingBudget, RequestBody


async def reader(chunks: Iterable[bytes]) -> StreamReader:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    for chunk in chunks:
        stream.feed_data(chunk)
    return stream


async def nothing() -> None:
    """Nobody has to be told."""


async def read(body: RequestBody) -> bytes:
    return b"".join([chunk async for chunk in body.chunks()])


def test_a_body_can_be_read_again_until_it_is_forgotten() -> None:
    async def story() -> None:
        budget = KeepingBudget(100)
        stream = await reader([b"one ", b"two"])
        stream.feed_eof()
        body = RequestBody(stream, budget, nothing, limit=50)
        assert [await read(body), await read(body)] == [b"one two"] * 2
        assert body.replayable
        assert budget.left == 93
        body.forget()
        body.forget()
        assert not body.replayable
        assert budget.left == 100

    asyncio.run(story())


def test_a_second_reading_goes_on_where_the_first_broke_off() -> None:
    async def story() -> None:
        stream = await reader([b"one "])
        body = RequestBody(stream, KeepingBudget(100), nothing, limit=50)
        first = asyncio.create_task(read(body))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        stream.feed_data(b"two")
        stream.feed_eof()
        assert await read(body) == b"one two"

    asyncio.run(story())


@pytest.mark.parametrize(("limit", "budget"), [(5, 100), (100, 5)])
def test_what_is_too_much_is_not_kept(limit: int, budget: int) -> None:
    async def story() -> None:
        stream = await reader([b"one ", b"two"])
        stream.feed_eof()
        left = KeepingBudget(budget)
        body = RequestBody(stream, left, nothing, limit=limit)
        assert await read(body) == b"one two"
        assert not body.replayable
        assert left.left == budget

    asyncio.run(story())


def test_the_client_is_told_to_go_on_once_and_before_it_is_read() -> None:
    async def story() -> None:
        told = []

        async def go_on() -> None:
            told.append(True)
            stream.feed_data(b"body")
            stream.feed_eof()

        stream = await reader([])
        body = RequestBody(stream, KeepingBudget(), go_on)
        assert told == []
        assert [await read(body), await read(body)] == [b"body"] * 2
        assert told == [True]

    asyncio.run(story())


def test_a_body_that_fails_says_so() -> None:
    async def story() -> None:
        stream = await reader([])
        stream.set_exception(ValueError("bad chunk"))
        body = RequestBody(stream, KeepingBudget(), nothing)
        with pytest.raises(ClientBodyError, match="bad chunk"):
            await read(body)
        assert isinstance(body.failure, ValueError)

    asyncio.run(story())
