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
JSON='{"type":"message","data":{"text":"{}"}}'

# 128 bytes are published; trunkline's envelope makes more of them, the raw endpoint and Nchan pass them on as they are.
fanout() {
    local server=$1
    shift
    case $server in
    trunkline)
        load fanout --address 127.0.0.1:$TRUNKLINE_PORT --pid "$TRUNKLINE_PID" --metrics /metrics --ready frame \
            --read '/ws/{room}' --publish '/ws/{room}' --message "$JSON" "$@" ;;
    trunkline-raw)
        load fanout --address 127.0.0.1:$TRUNKLINE_PORT --pid "$TRUNKLINE_PID" --metrics /metrics \
            --read '/raw/{room}' --publish '/raw/{room}' "$@" ;;
    nchan)
        load fanout --address 127.0.0.1:$NCHAN_PORT --pid "$NCHAN_PID" \
            --read '/sub?id={room}' --publish '/pubsub?id={room}' "$@" ;;
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
    fanout "$server" "$@" | record "$server" "$mode" "$RESULTS"
    stop_servers
}

build_load
: >"$RESULTS"
for pair in $(seq "$PAIRS"); do
    for server in $SERVERS; do
        run "$server" "1 room x 1000, one in flight" --readers 999 --messages $((400 / FEWER)) --window 1
        run "$server" "1 room x 1000, as fast as taken" --readers 999 --messages $((600 / FEWER)) --window 64
        run "$server" "1000 rooms x 10, one in flight" --rooms 1000 --readers 9 --messages $((10000 / FEWER)) --window 1
    done
done
python3 "$ROOT/benches/summary.py" "$RESULTS"
