# Sourced by benches/peers.sh: how each server is started, and what a client has to say to it.
#
# `start SERVER` leaves its process in SERVER_PID. `speak SERVER room|echo|handshake` leaves in URL and SPEECH what `trunkline bench` needs.
# What anyone in a room says, all in it hear, the speaker too; only sockudo's publishers stand outside (peers/sockudo/publish.mjs).

FLOOR_PORT=9110 CANDIDATE_PORT=9116 WS_PORT=9111 SOCKETIO_PORT=9112 FASTAPI_PORT=9113 SOCKUDO_PORT=9114 SOCKUDO_PUBLISH_PORT=9115

start() {
    case $1 in
    floor) start_floor batched ;;
    floor-single) start_floor single ;;
    candidate-*) start_candidate "${1#candidate-}" ;;
    trunkline*) start_trunkline ;;
    nchan) start_nchan ;;
    ws) start_server $WS_PORT node "$PEERS/ws/server.mjs" ;;
    socketio) start_server $SOCKETIO_PORT node "$PEERS/socketio/server.mjs" ;;
    fastapi) start_fastapi ;;
    sockudo) start_sockudo ;;
    *) echo "there is no server $1" >&2; return 1 ;;
    esac
}

start_floor() {
    start_server $FLOOR_PORT "$ROOT/benches/floor/target/release/floor" --listen 127.0.0.1:$FLOOR_PORT --delivery "$1"
}

start_candidate() {
    start_server $CANDIDATE_PORT "$ROOT/benches/candidates/target/release/candidates" \
        --listen 127.0.0.1:$CANDIDATE_PORT --delivery "$1" --threads "${TOKIO_WORKER_THREADS:-1}"
}

# One process, as Node has one: uvloop, httptools and websockets are uvicorn's fastest.
start_fastapi() {
    start_server $FASTAPI_PORT "$ROOT/.cache/peers/fastapi/bin/python" -m uvicorn --app-dir "$PEERS/fastapi" server:app \
        --host 127.0.0.1 --port $FASTAPI_PORT --backlog 4096 --loop uvloop --http httptools --ws websockets \
        --ws-per-message-deflate false --log-level error --no-access-log
}

start_sockudo() {
    start_server $SOCKUDO_PORT "$ROOT/.cache/peers/sockudo/bin/sockudo" --config "$PEERS/sockudo/config.toml" || return
    PORT=$SOCKUDO_PUBLISH_PORT SOCKUDO_PORT=$SOCKUDO_PORT taskset -c "$LOAD_CORES" node "$PEERS/sockudo/publish.mjs" \
        >"$OUT/sockudo-publish.log" 2>&1 &
    STARTED+=" $!"
    listening $SOCKUDO_PUBLISH_PORT $! "$OUT/sockudo-publish.log"
}

# Fails where the server has no such thing. {room} and {n} are the load's to fill in.
speak() {
    local server=$1 what=$2
    SPEECH=(--raw)
    case $server:$what in
    floor*:room) URL=ws://127.0.0.1:$FLOOR_PORT/ws/{room} ;;
    floor*) URL=ws://127.0.0.1:$FLOOR_PORT/echo ;;
    candidate-*:room) URL=ws://127.0.0.1:$CANDIDATE_PORT/ws/{room} ;;
    trunkline:room)
        URL=ws://127.0.0.1:$TRUNKLINE_PORT/ws/{room}
        SPEECH=(--message '{"type":"message","data":{"text":"{}"}}') ;;
    trunkline-raw:room) URL=ws://127.0.0.1:$TRUNKLINE_PORT/raw/{room} ;;
    trunkline-raw:*) URL=ws://127.0.0.1:$TRUNKLINE_PORT/raw-echo ;;
    trunkline-token:handshake)
        URL=ws://127.0.0.1:$TRUNKLINE_PORT/member
        SPEECH=(--token "$("$TRUNKLINE" token "$ROOT/benches/channels.yaml" --auth member --user-id bench)") ;;
    trunkline:*)
        URL=ws://127.0.0.1:$TRUNKLINE_PORT/idle
        SPEECH=(--message '{"type":"echo","data":{"text":"{}"}}') ;;
    nchan:room) URL=ws://127.0.0.1:$NCHAN_PORT/pubsub?id={room} ;;
    # No message comes back by itself: each connection has a channel of its own.
    nchan:*) URL=ws://127.0.0.1:$NCHAN_PORT/pubsub?id=own-{n} ;;
    ws:room) URL=ws://127.0.0.1:$WS_PORT/ws/{room} ;;
    ws:*) URL=ws://127.0.0.1:$WS_PORT/echo ;;
    fastapi:room) URL=ws://127.0.0.1:$FASTAPI_PORT/ws/{room} ;;
    fastapi:*) URL=ws://127.0.0.1:$FASTAPI_PORT/echo ;;
    socketio:*)
        URL="ws://127.0.0.1:$SOCKETIO_PORT/socket.io/?EIO=4&transport=websocket"
        [ "$what" = room ] && URL+='&room={room}'
        SPEECH+=(--hello 40 --ready '40{"sid"' --reply 2=3)
        case $what in
        room) SPEECH+=(--message '42["message","{}"]') ;;
        *) SPEECH+=(--message '42["echo","{}"]') ;;
        esac ;;
    sockudo:room)
        URL="ws://127.0.0.1:$SOCKUDO_PORT/app/bench?protocol=7"
        SPEECH+=(--publish-url "ws://127.0.0.1:$SOCKUDO_PUBLISH_PORT/{room}"
            --hello '{"event":"pusher:subscribe","data":{"channel":"room-{room}"}}'
            --ready pusher_internal:subscription_succeeded) ;;
    sockudo:handshake)
        URL="ws://127.0.0.1:$SOCKUDO_PORT/app/bench?protocol=7"
        SPEECH+=(--ready pusher:connection_established) ;;
    *) return 1 ;;
    esac
}
