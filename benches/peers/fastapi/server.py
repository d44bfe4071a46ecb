"""The connection manager of FastAPI's documentation, with rooms: what anyone in /ws/{room} sends, all in it hear; /echo answers."""

from collections import defaultdict

from fastapi import FastAPI, WebSocket, WebSocketDisconnect


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: defaultdict[str, list[WebSocket]] = defaultdict(list)

    async def connect(self, room: str, websocket: WebSocket) -> None:
        await websocket.accept()
        self.rooms[room].append(websocket)

    def disconnect(self, room: str, websocket: WebSocket) -> None:
        self.rooms[room].remove(websocket)
        if not self.rooms[room]:
            del self.rooms[room]

    async def broadcast(self, room: str, message: str) -> None:
        for connection in list(self.rooms[room]):
            await connection.send_text(message)


app = FastAPI(openapi_url=None)
manager = ConnectionManager()


@app.websocket("/ws/{room}")
async def in_room(websocket: WebSocket, room: str) -> None:
    await manager.connect(room, websocket)
    try:
        while True:
            await manager.broadcast(room, await websocket.receive_text())
    except WebSocketDisconnect:
        manager.disconnect(room, websocket)


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass
