"""examples/fastapi-parity, path by path, with the `websockets` library."""

import asyncio
import json
import os
import re
import subprocess

import pytest

from client import ANY, connected, opened, refusal, text_connected
from credentials import BAD_TOKENS, token
from server import API_KEY, BINARY, DEADLINE, JWT_SECRET, PARITY

TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


@pytest.fixture(autouse=True)
def nobody_is_left(request):
    """The farewells of one test must not be heard in the next."""
    if "parity" in request.fixturenames:
        request.getfixturevalue("parity").wait_for_metric("trunkline_connections", 0)


def test_the_example_has_no_findings():
    environment = {**os.environ, "JWT_SECRET": JWT_SECRET, "API_KEY": API_KEY}
    checked = subprocess.run([BINARY, "check", "--deny", "warnings", PARITY], env=environment, capture_output=True, text=True, timeout=DEADLINE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# /ws

async def test_text_echo(parity):
    async with text_connected(parity, "/ws") as ann:
        await ann.send("hi")
        await ann.expect("Message received: hi")
        await ann.send("grüße {data} 👋")
        await ann.expect("Message received: grüße {data} 👋")


async def test_text_echo_is_personal(parity):
    async with text_connected(parity, "/ws") as ann, text_connected(parity, "/ws") as ben:
        await ann.send("from ann")
        await ann.expect("Message received: from ann")
        await ben.send("from ben")
        await ben.expect("Message received: from ben")


# /ws/json

@pytest.mark.parametrize("data", [{"a": [1, 2.5, None]}, [1, "two"], "text", 5, True, None, {"type": "join", "room": "room:1"}], ids=json.dumps)
async def test_json_echo_of_any_shape(parity, data):
    async with connected(parity, "/ws/json") as ann:
        await ann.send_text(json.dumps(data))
        frame = await ann.expect("echo")
        assert frame["data"] == data
        assert TIMESTAMP.match(frame["timestamp"]), frame


@pytest.mark.parametrize("broken", ["{", "", "hello", '{"a": 1,}', "[1] 2"])
async def test_broken_json_gets_an_error_and_the_connection_lives(parity, broken):
    async with connected(parity, "/ws/json") as ann:
        await ann.send_text(broken)
        await ann.expect("error", code="bad_json", message=ANY)
        await ann.send_text('{"still": "here"}')
        await ann.expect("echo", data={"still": "here"})


# /ws/{client_id}

async def test_numbered_clients_hear_each_other(parity):
    async with text_connected(parity, "/ws/7") as seven:
        await seven.expect("Client #7 joined the chat")
        async with text_connected(parity, "/ws/8") as eight:
            await eight.expect("Client #8 joined the chat")
            await seven.expect("Client #8 joined the chat")
            await seven.send("hi")
            await seven.expect("You wrote: hi", "Client #7 says: hi")
            await eight.expect("Client #7 says: hi")
            await eight.send("hello")
            await eight.expect("You wrote: hello", "Client #8 says: hello")
            await seven.expect("Client #8 says: hello")
        await seven.expect("Client #8 left the chat")


async def test_a_text_frame_that_the_schema_refuses_is_answered_in_text(parity, name):
    async with text_connected(parity, f"/ws/{name}") as ann:
        await ann.expect(f"Client #{name} joined the chat")
        await ann.send("x" * 5000)
        frame = await asyncio.wait_for(ann.socket.recv(), DEADLINE)
        assert frame.startswith("Error: "), frame
        await ann.send("still here")
        await ann.expect("You wrote: still here", f"Client #{name} says: still here")


# /ws/room/{room_id}

async def test_room_announces_and_counts(parity, name):
    room = f"room:{name}"
    async with connected(parity, f"/ws/room/{name}") as ann:
        await ann.expect("user_joined", room=room, users_count=1)
        async with connected(parity, f"/ws/room/{name}") as ben:
            joined = await ann.expect("user_joined", room=room, users_count=2, user={"user_id": ANY})
            assert joined["user"]["user_id"] == ben.welcome["user"]["user_id"]
            assert TIMESTAMP.match(joined["timestamp"]), joined
            await ben.send("message", {"text": "hi"}, id="m1")
            await ben.expect("ack", id="m1", message_id=ANY)
            frame = await ann.expect("message", room=room, data={"text": "hi"}, message_id=ANY)
            assert frame["sender"]["user_id"] == ben.welcome["user"]["user_id"]
            assert TIMESTAMP.match(frame["timestamp"]), frame
        await ann.expect("user_left", room=room, users_count=1)


async def test_the_author_of_a_room_message_reads_it_too(parity, name):
    async with connected(parity, f"/ws/room/{name}") as ann:
        await ann.send("message", {"text": "to all of us"})
        await ann.expect("message", data={"text": "to all of us"})


async def test_a_room_message_stays_in_its_room(parity, name):
    async with connected(parity, f"/ws/room/{name}-a") as ann, connected(parity, f"/ws/room/{name}-b") as ben:
        await ann.send("message", {"text": "for a"})
        await ann.expect("message", data={"text": "for a"})
        await ann.settle()
        await ben.send("message", {"text": "for b"})
        await ben.expect("message", data={"text": "for b"})
        others = [frame for frame in ben.seen if frame.get("room") == f"room:{name}-a"]
        assert not others, f"room b heard of room a: {others}"


async def test_a_message_that_the_schema_refuses_says_where(parity, name):
    async with connected(parity, f"/ws/room/{name}") as ann, connected(parity, f"/ws/room/{name}") as ben:
        await ann.send("message", {"text": 5}, id="bad")
        await ann.expect("error", id="bad", code="schema", details=[{"path": "/text"}])
        await ann.send("message", {"text": "good"})
        await ben.expect("message", data=ANY)
        assert [frame["data"] for frame in ben.seen if frame["type"] == "message"] == [{"text": "good"}]


async def test_an_undeclared_type_is_refused(parity, name):
    async with connected(parity, f"/ws/room/{name}") as ann:
        await ann.send("nonsense", {}, id="n")
        await ann.expect("error", id="n", code="unknown_type")
        await ann.send("notification", {"title": "forged"}, id="f", room="user:7")
        await ann.expect("error", id="f")


async def test_an_empty_room_leaves_nothing_behind(parity, name):
    before = parity.metric("trunkline_rooms")
    async with connected(parity, f"/ws/room/{name}") as ann:
        await ann.send("message", {"text": "hi"})
        await ann.expect("message")
        assert parity.metric("trunkline_rooms") == before + 1
    parity.wait_for_metric("trunkline_rooms", before)


# /ws/authenticated

async def test_a_token_makes_a_user(parity):
    async with connected(parity, f"/ws/authenticated?token={token('42', 'ann')}") as ann:
        assert ann.welcome["user"]["user_id"] == "42"
        assert ann.welcome["user"]["username"] == "ann"
        await ann.send("say", {"text": "who am I?"}, id="q")
        await ann.expect("say", id="q", data={"user_id": "42", "text": "who am I?"})


@pytest.mark.parametrize("bad", BAD_TOKENS)
@pytest.mark.parametrize("path", ["/ws/authenticated", "/ws/advanced", "/ws/notifications/1"])
async def test_bad_tokens_are_refused_before_the_upgrade(parity, path, bad):
    assert await refusal(parity, f"{path}?token={BAD_TOKENS[bad]}") == 401


@pytest.mark.parametrize("bad", BAD_TOKENS)
@pytest.mark.parametrize("path", ["/ws/authenticated", "/ws/advanced", "/ws/notifications/1"])
async def test_bad_tokens_close_with_1008(parity_closing, path, bad):
    assert await refusal(parity_closing, f"{path}?token={BAD_TOKENS[bad]}") == 1008


@pytest.mark.parametrize("path", ["/ws/authenticated", "/ws/advanced", "/ws/notifications/1", "/ws/cookie-auth"])
async def test_a_missing_credential_is_refused(parity, parity_closing, path):
    assert await refusal(parity, path) == 401
    assert await refusal(parity_closing, path) == 1008


async def test_a_good_token_passes_where_refusals_close(parity_closing):
    async with connected(parity_closing, f"/ws/authenticated?token={token('42')}") as ann:
        assert ann.welcome["user"]["user_id"] == "42"


# /ws/cookie-auth

def cookie(value: str) -> dict:
    return {"additional_headers": {"Cookie": f"theme=dark; session_token={value}"}}


async def test_a_session_makes_a_user(parity):
    async with connected(parity, "/ws/cookie-auth", **cookie("session-of-ben")) as ben:
        assert ben.welcome["user"]["user_id"] == "2"
        assert ben.welcome["user"]["username"] == "ben"
        await ben.send("say", {"text": "hi"}, id="q")
        await ben.expect("say", id="q", data={"user_id": "2", "text": "hi"})


@pytest.mark.parametrize("bad", ["session-of-nobody", "session-that-ended", "", "../sessions.yaml"])
async def test_bad_sessions_are_refused(parity, parity_closing, bad):
    assert await refusal(parity, "/ws/cookie-auth", **cookie(bad)) == 401
    assert await refusal(parity_closing, "/ws/cookie-auth", **cookie(bad)) == 1008


async def test_a_token_is_no_session(parity):
    assert await refusal(parity, f"/ws/cookie-auth?token={token()}") == 401


# /ws/advanced

async def test_presence_by_user(parity, name):
    def at(user):
        return f"/ws/advanced?token={token(f'{name}-{user}', user)}"

    ann_id, ben_id = f"{name}-ann", f"{name}-ben"
    async with connected(parity, at("ann")) as ann:
        async with connected(parity, at("ben")) as ben:
            await ann.expect("user_online", user={"user_id": ben_id, "username": "ben"})
            online = await ben.expect("online_users", users=ANY)
            assert {"user_id": ann_id, "username": "ann", "connections": 1}.items() <= by_id(online)[ann_id].items()
            async with connected(parity, at("ben")) as ben_again:
                online = await ben_again.expect("online_users", users=ANY)
                assert by_id(online)[ann_id]["connections"] == 1
                async with connected(parity, at("ann")) as ann_again:
                    online = await ann_again.expect("online_users", users=ANY)
                    assert by_id(online)[ben_id]["connections"] == 2
                    await ann_again.settle()
            await ann.send("message", {"text": "done"})
            await ann.expect("message", data={"text": "done"})
            assert [f["user"]["user_id"] for f in ann.seen if f["type"] == "user_online"] == [ben_id], "each user comes online once"
            assert not [f for f in ann.seen + ben.seen if f["type"] == "user_offline"], "nobody has left yet"
        await ann.expect("user_offline", user={"user_id": ben_id, "username": "ben"})


async def test_a_newcomer_does_not_hear_of_himself(parity, name):
    async with connected(parity, f"/ws/advanced?token={token(name)}") as ann:
        assert not [frame for frame in await ann.settle() if frame["type"] == "user_online"]


async def test_message_to_all_typing_to_others_direct_to_one_user(parity, name):
    def at(user):
        return f"/ws/advanced?token={token(f'{name}-{user}', user)}"

    async with connected(parity, at("ann")) as ann, connected(parity, at("ann")) as ann_phone, \
               connected(parity, at("ben")) as ben, connected(parity, at("ben")) as ben_phone, connected(parity, at("eve")) as eve:
        await ann.send("message", {"text": "all"})
        for reader in (ann, ann_phone, ben, ben_phone, eve):
            await reader.expect("message", data={"text": "all"}, sender={"user_id": f"{name}-ann", "username": "ann"})
        await ann.send("typing", {"typing": True})
        for reader in (ben, ben_phone, eve):
            await reader.expect("typing", data={"typing": True}, sender={"user_id": f"{name}-ann"})
        await ann.send("direct", {"user_id": f"{name}-ben", "text": "psst"}, id="d")
        await ann.expect("ack", id="d")
        for reader in (ben, ben_phone):
            await reader.expect("direct", data={"text": "psst"}, sender={"user_id": f"{name}-ann"})
        await ann.send("message", {"text": "end"})
        for reader in (ann, ann_phone, eve):
            await reader.expect("message", data={"text": "end"})
        assert not [f for f in ann.seen + ann_phone.seen if f["type"] == "typing"], "typing came back to its own user"
        assert not [f for f in ann.seen + ann_phone.seen + eve.seen if f["type"] == "direct"], "a direct message went astray"


async def test_more_connections_than_a_user_may_have(parity, name):
    path = f"/ws/advanced?token={token(name)}"
    async with opened(parity, path), opened(parity, path), opened(parity, path), opened(parity, path), opened(parity, path):
        assert await refusal(parity, path) == 429


def by_id(online: dict) -> dict:
    return {user["user_id"]: user for user in online["users"]}


# /ws/robust

async def test_every_message_is_acknowledged(parity):
    async with connected(parity, "/ws/robust") as ann:
        await ann.send("report", {"n": 1})
        await ann.expect("ack")
        await ann.send("report", {"n": 2}, id="two")
        await ann.expect("ack", id="two")


@pytest.mark.parametrize("broken", ["{", '{"type": "report", "data": }', "[]", '"text"', '{"data": {}}', '{"type": 5}'])
async def test_broken_frames_are_answered(parity, broken):
    async with connected(parity, "/ws/robust") as ann:
        await ann.send_text(broken)
        error = await ann.expect("error", code=ANY, message=ANY)
        assert error["code"] in ("bad_json", "bad_frame"), error
        await ann.send("report", {"still": "here"}, id="after")
        await ann.expect("ack", id="after")


async def test_ping_after_silence(serve):
    server = serve(changes={"idle: 60s, timeout: 20s": "idle: 1s, timeout: 1s"})
    async with connected(server, "/ws/robust") as ann:
        for _ in range(3):
            await ann.expect("ping")
            await ann.send("pong")
        await ann.send("report", {}, id="alive")
        await ann.expect("ack", id="alive")


# /ws/notifications/{user_id}

async def test_pending_notifications_come_first_then_live_ones(parity, name):
    path = f"/ws/notifications/{name}?token={token(name)}"
    for number in range(5):
        published = parity.publish(f"user:{name}", "notification", {"title": f"pending {number}"})
        assert published.status == 200 and published.json()["message_id"], published
    async with connected(parity, path) as ann:
        for number in range(5):
            frame = await ann.expect("notification", room=f"user:{name}")
            assert frame["data"] == {"title": f"pending {number}"}, ann.seen
        parity.publish(f"user:{name}", "notification", {"title": "live"})
        assert (await ann.expect("notification"))["data"] == {"title": "live"}
    parity.publish(f"user:{name}", "notification", {"title": "while away"})
    async with connected(parity, path) as ann:
        assert (await ann.expect("notification"))["data"] == {"title": "while away"}, "neither lost nor told twice"
        assert not [frame for frame in await ann.settle() if frame["type"] == "notification"]


async def test_notifications_are_kept_until_received(serve, name):
    server = serve(changes={"receipt: on_write": "receipt: user"})
    path = f"/ws/notifications/{name}?token={token(name)}"
    for number in range(3):
        assert server.publish(f"user:{name}", "notification", {"title": str(number)}).status == 200
    async with connected(server, path) as ann:
        first = await ann.expect("notification", data={"title": "0"}, seq=ANY)
        await ann.expect("notification", data={"title": "2"})
        await ann.send("received", room=f"user:{name}", seq=first["seq"])
        await ann.settle()
    async with connected(server, path) as ann:
        assert (await ann.expect("notification"))["data"] == {"title": "1"}, "what was not received comes again"
        assert (await ann.expect("notification"))["data"] == {"title": "2"}


async def test_somebody_elses_notifications(parity, parity_closing, name):
    assert await refusal(parity, f"/ws/notifications/{name}?token={token('another')}") == 403
    assert await refusal(parity_closing, f"/ws/notifications/{name}?token={token('another')}") == 1008


async def test_a_client_cannot_publish_notifications(parity, name):
    async with connected(parity, f"/ws/notifications/{name}?token={token(name)}") as ann:
        await ann.send("notification", {"title": "forged"}, id="f")
        await ann.expect("error", id="f")
        assert not [frame for frame in await ann.settle() if frame["type"] == "notification"]


async def test_publishing_needs_the_key_and_the_schema(parity, name):
    room = f"user:{name}"
    assert parity.publish(room, "notification", {"title": "x"}, key=None).status == 401
    assert parity.publish(room, "notification", {"title": "x"}, key="wrong").status == 401
    refused = parity.publish(room, "notification", {"body": "no title"})
    assert 400 <= refused.status < 500 and refused.json()["code"] == "schema", refused
    assert refused.headers["Content-Type"].startswith("application/problem+json"), refused.headers
    assert parity.publish(room, "nonsense", {}).status in (400, 404, 422)
    assert parity.publish("no-such-room", "notification", {"title": "x"}).status in (400, 404, 422)


async def test_a_notification_reaches_every_connection_of_the_user_alone(parity, name):
    path = f"/ws/notifications/{name}?token={token(name)}"
    other = f"/ws/notifications/{name}-other?token={token(f'{name}-other')}"
    async with connected(parity, path) as laptop, connected(parity, path) as phone, connected(parity, other) as ben:
        parity.publish(f"user:{name}", "notification", {"title": "both"})
        await laptop.expect("notification", data={"title": "both"})
        await phone.expect("notification", data={"title": "both"})
        assert not [frame for frame in await ben.settle() if frame["type"] == "notification"]
