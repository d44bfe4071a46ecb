"""Chat in the terminal: what you type goes to the room; /join ROOM changes it, /to USER_ID TEXT writes to one user."""

import asyncio
import json
import os
import sys

import websockets


async def main(token, url):
    async with websockets.connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as connection:
        printing = asyncio.create_task(print_frames(connection))
        room = "room:lobby"
        while line := (await asyncio.to_thread(sys.stdin.readline)).rstrip("\n"):
            match line.split(" ", 2):
                case ["/join", name]:
                    room = f"room:{name}"
                    await send(connection, type="join", room=room)
                case ["/to", user_id, text]:
                    await send(connection, type="direct", data={"to": user_id, "text": text})
                case _:
                    await send(connection, type="message", room=room, data={"text": line})
        printing.cancel()


async def send(connection, **frame):
    await connection.send(json.dumps(frame))


async def print_frames(connection):
    async for text in connection:
        match json.loads(text):
            case {"type": "message" | "notice" | "direct", "sender": sender, "data": data, **frame}:
                print(f"{frame.get('room', 'direct')} {sender['username']}: {data['text']}")
            case {"type": "user_joined" | "user_left" as what, "user": user, "users_count": count, "room": room}:
                print(f"{room} {user['username']} {what.removeprefix('user_')}, {count} here")
            case {"type": "error", "code": code, "message": message}:
                print(f"! {code}: {message}")
    print(f"closed: {connection.close_code} {connection.close_reason}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], os.environ.get("URL", "ws://127.0.0.1:8000/ws")))
