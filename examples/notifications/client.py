"""Prints a user's notifications, those that waited first, and says that each has been dealt with."""

import asyncio
import json
import os
import sys

import websockets


async def main(token, url):
    # As an iterator `connect` comes back by itself, with growing pauses, after a connection broke.
    async for connection in websockets.connect(url, additional_headers={"Authorization": f"Bearer {token}"}):
        try:
            async for text in connection:
                frame = json.loads(text)
                if frame["type"] == "notification":
                    print(frame["timestamp"], frame["data"]["title"], flush=True)
                    receipt = {"type": "received", "room": frame["room"], "seq": frame["seq"]}
                    await connection.send(json.dumps(receipt))
        except websockets.ConnectionClosed:
            continue


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], os.environ.get("URL", "ws://127.0.0.1:8000/ws/notifications")))
