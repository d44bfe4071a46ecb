"""examples/support-desk with the `websockets` library: customers and agents at one ticket, and notes that customers never see."""

import json
import os
import subprocess

import pytest

from client import connected, refusal
from credentials import token
from server import API_KEY, BINARY, DEADLINE, JWT_SECRET, ROOT

DESK = ROOT / "examples/support-desk/channels.yaml"
SECRET = "be kind"


@pytest.fixture
def desk(serve):
    return serve(DESK)


def customer(ticket: str, user_id: str = "7"):
    return f"/ws?token={token(user_id, 'ann', role='customer', tickets=[ticket])}"


def agent(user_id: str = "a1"):
    return f"/ws?token={token(user_id, 'eva', role='agent')}"


async def answered(client, frame: dict) -> tuple[dict, list[dict]]:
    """The answer to a frame, and what came before it."""
    await client.send_text(json.dumps(frame))
    before = []
    while (came := await client.next()).get("id") != frame["id"]:
        before.append(came)
    return came, before


async def joined(client, room: str, **more) -> tuple[dict, list[dict]]:
    """The answer to a join, and what is replayed behind it: all that is there when a ping is answered."""
    answer, before = await answered(client, {"type": "join", "room": room, "id": "join", **more})
    assert answer["type"] == "joined", answer
    return answer, before + await client.settle()


def of_type(frames: list[dict], name: str) -> list[dict]:
    return [frame for frame in frames if frame["type"] == name]


def test_the_example_has_no_findings():
    environment = {**os.environ, "JWT_SECRET": JWT_SECRET, "API_KEY": API_KEY}
    checked = subprocess.run([BINARY, "check", "--deny", "warnings", DESK], env=environment, capture_output=True, text=True, timeout=DEADLINE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_customers_never_see_notes(desk):
    async with connected(desk, customer("12")) as ann, connected(desk, agent()) as eva, connected(desk, agent("a2")) as ida:
        standing, _ = await joined(ann, "desk:12")
        for client in (eva, ida):
            await joined(client, "desk:12")
        first, _ = await answered(ann, {"type": "message", "room": "desk:12", "id": "1", "data": {"text": "it has not come"}})
        note, _ = await answered(eva, {"type": "note", "room": "desk:12", "id": "2", "data": {"text": SECRET}})
        last, _ = await answered(eva, {"type": "message", "room": "desk:12", "id": "3", "data": {"text": "let me look"}})
        assert (first["type"], note["type"], last["type"]) == ("ack", "ack", "ack")
        assert first["seq"] < note["seq"] < last["seq"]

        # Live: the other agent hears the note between the messages, the customer does not.
        await ida.settle()
        said = [frame["data"]["text"] for frame in ida.seen if frame["type"] in ("message", "note")]
        assert said == ["it has not come", SECRET, "let me look"]
        await ann.settle()
        assert SECRET not in str(ann.seen)
        assert [frame["seq"] for frame in of_type(ann.seen, "message")] == [first["seq"], last["seq"]]

        # Asked for: no page of the customer's holds it.
        page, _ = await answered(ann, {"type": "history", "room": "desk:12", "id": "4", "limit": 100})
        assert [frame["seq"] for frame in page["messages"]] == [first["seq"], last["seq"]]
        assert SECRET not in str(page)
        page, _ = await answered(ida, {"type": "history", "room": "desk:12", "id": "4", "limit": 100})
        assert SECRET in str(page)

    # Replayed to newcomers, and to those who resume from before the note.
    since = {"epoch": standing["epoch"], "seq": first["seq"]}
    for more in ({}, {"since": since}):
        async with connected(desk, customer("12")) as again:
            answer, replayed = await joined(again, "desk:12", **more)
            assert SECRET not in str((answer, replayed))
            assert of_type(replayed, "message")[-1]["seq"] == last["seq"]
        async with connected(desk, agent("a3")) as later:
            _, replayed = await joined(later, "desk:12", **more)
            assert [frame["data"]["text"] for frame in of_type(replayed, "note")] == [SECRET]


async def test_customers_write_no_notes_and_join_their_own_tickets_alone(desk):
    async with connected(desk, customer("12")) as ann:
        await joined(ann, "desk:12")
        refused, _ = await answered(ann, {"type": "note", "room": "desk:12", "id": "1", "data": {"text": "hi"}})
        assert (refused["type"], refused["code"]) == ("error", "forbidden")
        refused, _ = await answered(ann, {"type": "join", "room": "desk:13", "id": "2"})
        assert (refused["type"], refused["code"]) == ("error", "forbidden")
        refused, _ = await answered(ann, {"type": "status", "room": "desk:12", "id": "3", "data": {"status": "solved"}})
        assert (refused["type"], refused["code"]) == ("error", "forbidden")
    # A token without a role is no login here.
    assert await refusal(desk, f"/ws?token={token('9', 'eve')}") == 401


async def test_typing_is_live_and_read_state_is_kept(desk):
    async with connected(desk, customer("12")) as ann, connected(desk, agent()) as eva:
        for client in (ann, eva):
            await joined(client, "desk:12")
        line, _ = await answered(ann, {"type": "message", "room": "desk:12", "id": "1", "data": {"text": "hello"}})
        await answered(eva, {"type": "typing", "room": "desk:12", "id": "2", "data": {"typing": True}})
        await answered(eva, {"type": "read", "room": "desk:12", "id": "3", "data": {"seq": line["seq"]}})
        heard = await ann.settle()
        assert [frame["data"] for frame in of_type(heard, "typing")] == [{"typing": True}]
        assert [frame["data"] for frame in of_type(heard, "read")] == [{"seq": line["seq"]}]
        own = await eva.settle()
        assert of_type(own, "typing") == []

        solved = desk.publish("desk:12", "status", {"status": "solved"})
        assert solved.status == 200, solved
        heard = await ann.settle()
        assert [frame["data"] for frame in of_type(heard, "status")] == [{"status": "solved"}]

    async with connected(desk, agent("a2")) as later:
        _, replayed = await joined(later, "desk:12")
        assert [frame["data"] for frame in of_type(replayed, "read")] == [{"seq": line["seq"]}]
        assert of_type(replayed, "typing") == []


async def test_talking_is_limited_by_user(desk):
    async with connected(desk, customer("12")) as ann, connected(desk, customer("12")) as also_ann:
        for client in (ann, also_ann):
            await joined(client, "desk:12")
        answers = []
        for number in range(12):
            client = (ann, also_ann)[number % 2]
            answer, _ = await answered(client, {"type": "message", "room": "desk:12", "id": f"m{number}", "data": {"text": "hi"}})
            answers.append(answer.get("code"))
        assert "rate_limited" in answers, answers
