"""`tls: {acme: …}` against pebble: certificates are ordered, proven, shown, kept and renewed, and nothing of it keeps the server from
starting."""

import asyncio
import json
import socket
import ssl
import stat
import time

import pytest
from websockets.asyncio.client import connect

import evidence
from authority import Authority
from server import DEADLINE, ROOT, free_port

CONFIG = ROOT / "tests/clients/configs/acme.yaml"
NAME = "rt.example.test"
# What an order may take: the authority refuses some of its own nonces on purpose, and a failed order is repeated after some seconds.
ORDER = 60.0


@pytest.fixture
def place(tmp_path):
    """Ports and folders that server and authority have to agree on."""
    return {"TLS_PORT": str(free_port()), "CACHE": str(tmp_path / "kept/acme")}


@pytest.fixture
def start(serve, place):
    def started(authority):
        return serve(CONFIG, env={**place, "DIRECTORY": authority.url, "CA_FILE": str(authority.ca_file)})
    return started


def shown(port: int, context: ssl.SSLContext | None = None, name: str = NAME) -> bytes | None:
    """The certificate that is shown, in DER; none where the handshake fails."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert(binary_form=True)
    except ssl.SSLError:
        return None


def until(server, what: str, holds, within: float = ORDER):
    end = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < end, f"waited in vain: {what}\n{server.tail()}"
        assert server.process.poll() is None, f"the server ended\n{server.tail()}"
        time.sleep(0.05)
    return found


async def echoed(port: int, context: ssl.SSLContext) -> str:
    async with connect(f"wss://{NAME}:{port}/ws", host="127.0.0.1", ssl=context, proxy=None, open_timeout=DEADLINE) as client:
        assert json.loads(await asyncio.wait_for(client.recv(), DEADLINE))["type"] == "welcome"
        await client.send(json.dumps({"type": "echo", "data": "over TLS"}))
        return json.loads(await asyncio.wait_for(client.recv(), DEADLINE))["data"]


def test_a_certificate_is_ordered_shown_and_kept(start, place, tmp_path):
    port = int(place["TLS_PORT"])
    authority = Authority(tmp_path, port)
    # The authority is down: the server serves all the same, says what is wrong, and asks again.
    server = start(authority)
    server.wait_for_log("the authority cannot be asked")
    assert shown(port) is None
    server.wait_for_metric("trunkline_acme_failures_total", 1)
    with authority.running():
        until(server, "a certificate", lambda: shown(port))
        context = authority.trusting()
        for name in (NAME, "www.rt.example.test"):
            assert shown(port, context, name) is not None, server.tail()
        assert asyncio.run(echoed(port, context)) == "over TLS"
        first = shown(port)
    assert server.metric("trunkline_acme_certificates_total") == 1
    # The proofs are over.
    proof = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    proof.check_hostname, proof.verify_mode = False, ssl.CERT_NONE
    proof.set_alpn_protocols(["acme-tls/1"])
    assert shown(port, proof) is None
    folder = tmp_path / "kept/acme"
    files = list(folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and len(files) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    # The keys in them are for no log.
    account, certificate = (next(file for file in files if file.suffix == suffix).read_text() for suffix in (".json", ".pem"))
    key = certificate.partition("-----BEGIN PRIVATE KEY-----\n")[2].splitlines()
    assert len(key) > 1
    evidence.used(json.loads(account)["key_pkcs8"], *key[:-1])
    # What is kept is shown from the start, without asking anybody.
    assert server.stop() == 0
    place["TLS_PORT"] = str(free_port())
    again = start(authority)
    assert shown(int(place["TLS_PORT"])) == first, again.tail()
    assert again.metric("trunkline_acme_failures_total") == 0


def test_a_certificate_is_renewed_before_it_ends(start, place, tmp_path):
    port = int(place["TLS_PORT"])
    with Authority(tmp_path, port, validity=12).running() as authority:
        server = start(authority)
        first = until(server, "a certificate", lambda: shown(port))
        until(server, "another", lambda: shown(port) not in (None, first))
        # Whoever comes in between is let in.
        assert shown(port, authority.trusting()) is not None


def test_an_authority_that_forgets_accounts_gets_a_new_one(start, place, tmp_path):
    port = int(place["TLS_PORT"])
    with Authority(tmp_path, port).running() as authority:
        server = start(authority)
        until(server, "a certificate", lambda: shown(port))
        assert server.stop() == 0
    for kept in (tmp_path / "kept/acme").glob("*.pem"):
        kept.unlink()
    # The same address, and nothing of what it knew.
    with Authority(tmp_path, port, port=authority.port).running() as forgetful:
        server = start(forgetful)
        server.wait_for_log("does not know the account")
        until(server, "a certificate", lambda: shown(port, forgetful.trusting()))


def test_what_cannot_be_proven_is_said(start, place, tmp_path):
    # The authority looks for proofs where nobody listens.
    with Authority(tmp_path, free_port()).running() as authority:
        server = start(authority)
        until(server, "what is wrong", lambda: any("could not be proven" in line for line in server.log))
        line = next(line for line in server.log if "could not be proven" in line)
        assert "example.test" in line and "port 443" in line, line
        assert shown(int(place["TLS_PORT"])) is None and server.get("/readyz").status == 200
