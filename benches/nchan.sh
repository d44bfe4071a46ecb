#!/usr/bin/env bash
# CPU per delivery beside nginx with Nchan: pairs of runs, one server after the other, so that what else the machine does meets both.
#
#   benches/nchan.sh [PAIRS]                       5 pairs
#   SERVERS="nchan" benches/nchan.sh               only one of: trunkline trunkline-raw nchan
#   QUICK=yes benches/nchan.sh 1                   few messages: shows that nothing is lost, not what it costs
#
# Ends with 1 when a message was lost, repeated or late.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

PAIRS=${1:-5}
SERVERS=${SERVERS:-"trunkline trunkline-raw nchan"}
RESULTS=$OUT/nchan.jsonl
FEWER=$([ -n "${QUICK:-}" ] && echo 10 || echo 1)

# 128 bytes are published: the JSON around the marker is 37 of them. trunkline's envelope makes more of them, the raw endpoint and
# Nchan pass them on as they are. The publisher of a room hears itself too: with 999 readers there are 1000 deliveries.
measure() {
    local server=$1 shape=$2
    shift 2
    case $server in
    trunkline) load "$shape" "ws://127.0.0.1:$TRUNKLINE_PORT/ws/{room}" --pid "$TRUNKLINE_PID" --size 91 "$@" ;;
    trunkline-raw) load "$shape" "ws://127.0.0.1:$TRUNKLINE_PORT/raw/{room}" --raw --pid "$TRUNKLINE_PID" --size 128 "$@" ;;
    nchan)
        load "$shape" "ws://127.0.0.1:$NCHAN_PORT/sub?id={room}" --publish-url "ws://127.0.0.1:$NCHAN_PORT/pubsub?id={room}" \
            --raw --pid "$NCHAN_PID" --size 128 "$@" ;;
    esac
}

# Each run has a fresh server: none is measured with another's leftovers.
run() {
    local server=$1 mode=$2
    shift 2
    case $server in
    trunkline*) start_trunkline ;;
    nchan) start_nchan ;;
    esac
    measure "$server" "$@" | record "$server" "$mode" "$RESULTS"
    stop_servers
}

: >"$RESULTS"
for pair in $(seq "$PAIRS"); do
    for server in $SERVERS; do
        # Nchan's publishers connect elsewhere, beside the members.
        members=$([ "$server" = nchan ] && echo 9 || echo 10)
        run "$server" "1 room x 1000, one in flight" fanout --readers 999 --messages $((400 / FEWER)) --window 1
        run "$server" "1 room x 1000, as fast as taken" fanout --readers 999 --messages $((600 / FEWER)) --window 64
        run "$server" "1000 rooms x 10, one in flight" rooms --rooms 1000 --members "$members" --messages $((10000 / FEWER)) --window 1
    done
done
python3 "$ROOT/benches/summary.py" "$RESULTS"
