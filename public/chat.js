"use strict";

// What a client of trunkline has to do, and no more: connect, show, send, come back, resume.

const query = new URLSearchParams(location.search);
const name = (query.get("name") ?? "").trim();
const room = query.get("room") || "lobby";
const $ = (id) => document.getElementById(id);

// Close codes after which the same attempt would end the same way; every other one means: come back.
const STAY_AWAY = new Set([1000, 1002, 1003, 1007, 1008, 1009, 4009, 4010]);
// Close codes of a server that has too much to do with us already.
const BACK_OFF = new Set([1013, 4029]);
const WAIT_MS = { first: 500, crowded: 5_000, most: 30_000 };
const SILENCE_MS = 25_000;
const SHOWN_MAX = 500;

let socket;
let me; // the user that `welcome` named
let position; // the last message of the room that we have: {epoch, seq}
let attempts = 0;
let comeBackAfter; // what the server asked for before it closed
let timer;
let silence;
let requests = 0;
const unanswered = new Map(); // request id → text
const shown = new Set(); // message ids

function connect() {
  clearTimeout(timer);
  const url = new URL(`ws/room/${encodeURIComponent(room)}`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.search = "";
  url.searchParams.set("name", name);
  if (position) url.searchParams.set("since", `room:${room}@${position.epoch}-${position.seq}`);

  socket = new WebSocket(url, ["trunkline.v1.json"]);
  socket.onmessage = (event) => {
    listen();
    receive(JSON.parse(event.data));
  };
  socket.onclose = (event) => closed(event.code, event.reason);
}

function receive(frame) {
  switch (frame.type) {
    case "welcome": return welcome(frame);
    case "message": return showMessage(frame);
    case "user_joined": return showMember("joined", frame);
    case "user_left": return showMember("left", frame);
    case "ack": return void unanswered.delete(frame.id);
    case "error": return refused(frame);
    case "gap": // what the server still has follows: the message ids tell what is new
      position = { epoch: frame.epoch, seq: frame.seq };
      return show("gap", "Some messages are missing here: the server no longer has them.");
    case "ping": return socket.send('{"type":"pong"}');
    case "reconnect": // the server is about to stop, and closes
      comeBackAfter = frame.after_ms;
  }
}

function welcome(frame) {
  me = frame.user.user_id;
  attempts = 0;
  const joined = frame.rooms.find((one) => one.room === `room:${room}`);
  // From here on nothing may be missed. After a reconnect the old position stands until the replay moves it.
  if (joined && position?.epoch !== joined.epoch) position = { epoch: joined.epoch, seq: joined.seq };
  if (joined) showCount(joined.users_count);
  setStatus("connected");
  $("notice").textContent = "";
  restoreUnanswered();
}

function showMessage(frame) {
  if (shown.has(frame.message_id)) return;
  shown.add(frame.message_id);
  if (shown.size > 2 * SHOWN_MAX) shown.delete(shown.values().next().value);
  if (position && frame.seq > position.seq) position.seq = frame.seq;

  const author = element("b", frame.sender?.username ?? "server");
  const time = element("time", new Date(frame.timestamp).toLocaleTimeString());
  time.dateTime = frame.timestamp;
  const line = show("message", author, element("span", frame.data.text), time);
  if (frame.sender?.user_id === me) line.classList.add("own");
}

function showMember(what, frame) {
  showCount(frame.users_count);
  show(what, `${frame.user.username} ${what}`);
}

function showCount(count) {
  $("here").textContent = count === 1 ? "1 person here" : `${count} people here`;
}

function refused(frame) {
  const text = unanswered.get(frame.id);
  unanswered.delete(frame.id);
  if (text !== undefined && !$("text").value) $("text").value = text;
  $("notice").textContent = frame.details?.[0]?.message ?? frame.message;
}

function send(event) {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim() || socket?.readyState !== WebSocket.OPEN) return;
  const id = String(++requests);
  unanswered.set(id, text);
  socket.send(JSON.stringify({ type: "message", room: `room:${room}`, id, data: { text } }));
  $("text").value = "";
  $("notice").textContent = "";
}

// Whether a message arrived whose answer was lost with the connection, the replay shows. A guest's next connection is another
// user, so that its idempotency keys would not be recognised: the person decides.
function restoreUnanswered() {
  const text = [...unanswered.values()].join(" ");
  unanswered.clear();
  if (!text || $("text").value) return;
  $("text").value = text;
  $("notice").textContent = "The connection broke before this was confirmed: send it again if it does not show above.";
}

function closed(code, reason) {
  clearTimeout(silence);
  if (STAY_AWAY.has(code)) {
    setStatus("disconnected");
    $("notice").textContent = reason || `The server closed the connection (${code}).`;
    return;
  }
  setStatus("reconnecting");
  const slowest = BACK_OFF.has(code) ? WAIT_MS.crowded : WAIT_MS.first;
  const ceiling = Math.min(WAIT_MS.most, slowest * 2 ** attempts++);
  // The upper half is random, so that everyone who lost a server does not come back to it at once.
  timer = setTimeout(connect, comeBackAfter ?? ceiling * (0.5 + Math.random() / 2));
  comeBackAfter = undefined;
}

// A connection can die without a close: ask after a silence, and give up when there is no answer.
function listen() {
  clearTimeout(silence);
  const asked = socket;
  silence = setTimeout(() => {
    asked.send('{"type":"ping"}');
    silence = setTimeout(() => {
      asked.onclose = null;
      asked.close();
      closed(1006, "");
    }, SILENCE_MS);
  }, SILENCE_MS);
}

function setStatus(text) {
  $("status").textContent = $("status").className = text;
  $("text").disabled = $("send").disabled = text !== "connected";
  if (text === "connected" && document.activeElement === document.body) $("text").focus();
}

function show(kind, ...parts) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const line = element("li");
  line.className = kind;
  line.append(...parts); // strings become text nodes, never HTML
  $("messages").append(line);
  if ($("messages").childElementCount > SHOWN_MAX) $("messages").firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  return line;
}

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

$("name").value = name;
$("room").value = room;
$("write").addEventListener("submit", send);
addEventListener("online", () => $("status").textContent === "reconnecting" && socket.readyState === WebSocket.CLOSED && connect());

if (name) {
  $("enter").hidden = true;
  $("title").textContent = room;
  document.title = `${room} · trunkline chat`;
  setStatus("connecting");
  connect();
} else {
  $("write").hidden = true;
  $("name").focus();
}
