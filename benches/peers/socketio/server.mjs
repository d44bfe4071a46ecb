// Rooms of Socket.IO: who connects with ?room=NAME hears every `message` of that room; `echo` is answered.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const server = createServer();
const io = new Server(server, { transports: ['websocket'], serveClient: false });

io.on('connection', (socket) => {
  const { room } = socket.handshake.query;
  if (room === undefined) {
    socket.on('echo', (data) => socket.emit('echo', data));
    return;
  }
  socket.join(room);
  socket.on('message', (data) => io.to(room).emit('message', data));
});
server.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4096 });
