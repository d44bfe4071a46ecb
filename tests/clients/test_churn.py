"""Ten thousand connections come, talk in a thousand rooms and go, five times over: nothing of them remains."""

import pathlib

from crowd import Crowd
from server import raise_descriptor_limit

CONFIG = pathlib.Path(__file__).with_name("configs") / "churn.yaml"


def test_memory_after_five_crowds(serve):
    raise_descriptor_limit()
    server = serve(CONFIG)
    left: list[int] = []
    for number in range(5):
        crowd = Crowd(server, members=10_000, rooms=1_000, source=f"127.0.0.{number + 2}")
        crowd.join()
        assert server.metric("trunkline_connections") == 10_000
        assert server.metric("trunkline_rooms") == 1_000
        crowd.talk()
        crowd.leave()
        server.wait_until_empty()
        left.append(server.rss_anon())
    print(f"RssAnon after each crowd, KiB: {left}")
    assert left[4] <= left[1] * 1.10, f"RssAnon after each crowd, KiB: {left}"
