import contextlib
import itertools

import pytest

from server import PARITY, Server, variant

_numbers = itertools.count(1)
_running: list[Server] = []


@pytest.fixture(scope="session")
def parity():
    """examples/fastapi-parity as it stands, one server for all tests: each takes rooms and users of its own."""
    with running_or_nothing(PARITY) as server:
        yield server


@pytest.fixture(scope="session")
def parity_closing(tmp_path_factory):
    """The same with `reject: close` in place of `reject: http`."""
    changes = {"reject: http": "reject: close"}
    with running(variant(PARITY, tmp_path_factory.mktemp("closing"), changes)) as server:
        yield server


@pytest.fixture
def serve(tmp_path):
    """Starts servers for one test: `serve(config, {old: new})`."""
    servers = []

    def start(config=PARITY, changes=None, env=None):
        path = variant(config, tmp_path / str(len(servers)), changes or {})
        servers.append(watched(Server(path, env)).start())
        return servers[-1]

    yield start
    for server in servers:
        _running.remove(server)
        assert server.stop() == 0, f"the server did not end with 0\n{server.tail()}"


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"t{next(_numbers)}"


@contextlib.contextmanager
def running(config):
    server = watched(Server(config)).start()
    with server.stopping():
        yield server


@contextlib.contextmanager
def running_or_nothing(config):
    """The server of most tests of a suite. If it does not start, that is said once instead of by each of them."""
    server = watched(Server(config))
    try:
        server.start()
    except AssertionError as error:
        pytest.exit(str(error), returncode=1)
    with server.stopping():
        yield server


def watched(server: Server) -> Server:
    _running.append(server)
    return server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the servers' output."""
    report = (yield).get_result()
    if report.failed:
        for server in _running:
            if server.process is not None:
                report.sections.append((f"output of trunkline serve {server.config}", server.tail()))
