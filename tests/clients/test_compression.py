"""permessage-deflate with the `websockets` library, whose compressor and decompressor are zlib's: the differential of our own."""

import pathlib
import random

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from client import connected, opened
from conftest import running_or_nothing

CONFIG = pathlib.Path(__file__).with_name("configs") / "compression.yaml"


@pytest.fixture(scope="module")
def server():
    with running_or_nothing(CONFIG) as server:
        yield server


def offer(**parameters) -> dict:
    return {"extensions": [ClientPerMessageDeflateFactory(**parameters)]}


def compresses(socket) -> bool:
    return any(extension.name == "permessage-deflate" for extension in socket.protocol.extensions)


def messages(seed: int):
    """Text and bytes of all sizes, from what becomes a thousandth to what does not become smaller."""
    dice = random.Random(seed)
    for size in (0, 1, 2, 100, 125, 126, 127, 1000, 32_767, 32_768, 65_535, 65_536, 200_000):
        yield "".join(dice.choices("abc äöü€𝄞", k=size // 4))
        yield dice.randbytes(size)
        yield bytes(size)
        yield (dice.randbytes(50) * (size // 50 + 1))[:size]


OFFERS = [
    {},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {"client_max_window_bits": 9},
    {"compress_settings": {"memLevel": 1, "level": 9}},
    {"compress_settings": {"level": 0}},
    *({"server_max_window_bits": bits} for bits in (8, 9, 12, 15)),
]


@pytest.mark.parametrize("parameters", OFFERS, ids=str)
async def test_what_is_sent_comes_back(server, parameters):
    async with opened(server, "/echo", max_size=None, **offer(**parameters)) as socket:
        assert compresses(socket)
        for message in messages(seed=1):
            await socket.send(message)
            assert await socket.recv() == message
            if message:
                third = len(message) // 3 + 1
                await socket.send([message[at : at + third] for at in range(0, len(message), third)])
                assert await socket.recv() == message


async def test_a_room_with_and_without(server):
    before = server.metric("trunkline_compressed_frames_total")
    path, plain_path = "/json/mixed", "/plain/mixed"
    async with connected(server, path, **offer()) as ann, connected(server, path) as ben, connected(server, plain_path, **offer()) as cat:
        assert [compresses(client.socket) for client in (ann, ben, cat)] == [True, False, False]
        for data in ("short", "long " * 1000):
            for author in (ann, ben, cat):
                await author.send("line", data)
                for reader in (ann, ben, cat):
                    await reader.expect("line", data=data)
    assert server.metric("trunkline_compressed_frames_total") >= before + 3


async def test_nothing_is_agreed_to_where_the_file_does_not_say_so(server):
    async with opened(server, "/plain/alone", compression="deflate") as socket:
        assert not compresses(socket)
    async with opened(server, "/json/alone", compression="deflate") as socket:
        assert compresses(socket)
