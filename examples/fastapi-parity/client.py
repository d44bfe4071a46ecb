"""A client for the terminal: prints what arrives, sends the lines that you type.

    pip install websockets
    python client.py /ws/room/42
    python client.py "/ws/advanced?token=$(trunkline token --auth member --user-id 1 --username ann)"
    python client.py /ws/cookie-auth session-of-ann
"""

import asyncio
import sys

import websockets


async def main(path: str, session: str | None = None):
    headers = {"Cookie": f"session_token={session}"} if session else {}
    async with websockets.connect(f"ws://127.0.0.1:8000{path}", additional_headers=headers) as connection:
        printing = asyncio.create_task(print_frames(connection))
        while line := await asyncio.to_thread(sys.stdin.readline):
            await connection.send(line.rstrip("\n"))
        printing.cancel()


async def print_frames(connection):
    async for frame in connection:
        print(frame, flush=True)
    print(f"closed: {connection.close_code} {connection.close_reason}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
