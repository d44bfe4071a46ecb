#!/usr/bin/env bash
# trunkline beside its peers and beside the floor: the same works, one server after the other within each round, so that whatever
# else the machine does meets all of them. Prints a Markdown table for each work.
#
#   benches/peers.sh [PAIRS]                       5 rounds
#   SERVERS="floor trunkline" benches/peers.sh     some of: floor floor-single trunkline trunkline-raw nchan ws socketio sockudo fastapi
#   WORKS="one echo" benches/peers.sh              some of: one sixteen rooms rooms-busy echo handshakes idle stalled storm threads
#   QUICK=yes benches/peers.sh 1                   little of each work: shows that all of it runs, not what it costs
#   SERVER_CORES=0 LOAD_CORES=1 benches/peers.sh   the cores of the servers and of the load
#   BENCH=…/trunkline                              whose `trunkline bench` is the load; the server under test unless it says otherwise
#   benches/peers.sh --table FILE                  the tables of a run that was: it leaves its lines in .cache/bench/peers.jsonl
#
# Ends with 1 when anything was lost, repeated or out of order, or when a server could not do a work that it has.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
source "$ROOT/benches/peers/install.sh"
source "$ROOT/benches/peers/servers.sh"

PAIRS=${1:-5}
SERVERS=${SERVERS:-"floor floor-single trunkline trunkline-raw nchan ws socketio sockudo fastapi"}
WORKS=${WORKS:-"one sixteen rooms rooms-busy echo handshakes idle stalled storm threads"}
BENCH=${BENCH:-$TRUNKLINE}
RESULTS=$OUT/peers.jsonl

# How much of a work is done: all of it, or with QUICK a twentieth.
some() {
    if [ -n "${QUICK:-}" ]; then echo $((($1 + 19) / 20)); else echo "$1"; fi
}

# WORK SERVER: one measurement with a server of its own.
measure() {
    local work=$1 server=$2
    case $work in
    one) load "$work" "$server" room fanout --readers 1000 --window 1 --messages "$(some 1000)" ;;
    sixteen) load "$work" "$server" room fanout --readers 1000 --window 16 --messages "$(some 3000)" ;;
    rooms) load "$work" "$server" room rooms --rooms 1000 --members 10 --window 1 --messages "$(some 20000)" ;;
    rooms-busy) load "$work" "$server" room rooms --rooms 1000 --members 10 --window 1000 --messages "$(some 40000)" ;;
    echo) load "$work" "$server" echo echo --connections 100 --window 1 --messages "$(some 200000)" ;;
    handshakes) handshakes "$server" ;;
    idle) idle "$server" ;;
    stalled) stalled "$server" ;;
    storm) load "$work" "$server" echo storm --connections "$(some 12000)" --busy "$(some 2000)" --rate "$(some 4000)" --messages "$(some 20000)" ;;
    threads) threads "$server" ;;
    *) echo "there is no work $work" >&2; exit 2 ;;
    esac
}

# What the check of a token adds is a line of its own.
handshakes() {
    local server=$1
    load handshakes "$server" handshake churn --connections 50 --messages "$(some 10000)"
    if [ "$server" = trunkline ]; then
        load handshakes trunkline-token handshake churn --connections 50 --messages "$(some 10000)"
    fi
}

# All in one room. Python and Socket.IO take so much memory that fewer tell as much.
idle() {
    local server=$1 connections=15000
    case $server in fastapi | socketio) connections=5000 ;; esac
    load idle "$server" room idle --connections "$(some $connections)"
}

# Messages so large and so many that no buffer of the kernel holds what a stalled reader does not take.
stalled() {
    local server=$1 percent
    for percent in 0 10; do
        load "stalled-$percent" "$server" room fanout --readers 1000 --window 16 --messages "$(some 4000)" --bytes 3000 --stalled $percent
    done
}

# One thread and two, on the same cores: with two cores the load has to share them, in both cases alike.
threads() {
    local server=$1 count
    case $server in trunkline | trunkline-raw | nchan | sockudo | candidate-*) ;; *) return ;; esac
    for count in 1 2; do
        local SERVER_CORES=${THREADS_CORES:-0,1} LOAD_CORES=${THREADS_LOAD_CORES:-0,1} NGINX_WORKERS=$count
        export TOKIO_WORKER_THREADS=$count
        load "threads-$count" "$server" room fanout --readers 1000 --window 16 --messages "$(some 3000)"
        load "threads-$count-rooms" "$server" room rooms --rooms 1000 --members 10 --window 1000 --messages "$(some 40000)"
        unset TOKIO_WORKER_THREADS
    done
}

# WORK SERVER WHAT PROFILE OPTION…: starts the server, puts the load on it, keeps the line.
load() {
    local work=$1 server=$2 what=$3 profile=$4 line
    shift 4
    speak "$server" "$what" || return 0
    if start "$server"; then
        line=$(taskset -c "$LOAD_CORES" "$BENCH" bench "$profile" "$URL" "${SPEECH[@]}" "$@" --pid "$SERVER_PID" --children --json 2>"$OUT/load.log")
    else
        line=
    fi
    stop_servers
    if [ -z "$line" ]; then
        echo "$work, $server: $(tail -n 3 "$OUT/load.log")" >&2
        line='{"failed":true}'
    fi
    echo "{\"work\":\"$work\",\"server\":\"$server\",${line#\{}" | tee -a "$RESULTS"
}

main() {
    local server work
    for server in $SERVERS; do
        bring_in "$server" || { echo "$server cannot be had" >&2; exit 2; }
    done
    : >"$RESULTS"
    for _ in $(seq "$PAIRS"); do
        for work in $WORKS; do
            for server in $SERVERS; do measure "$work" "$server"; done
        done
    done
    python3 "$ROOT/benches/peers/summary.py" "$RESULTS"
}

if [ "$PAIRS" = --table ]; then
    python3 "$ROOT/benches/peers/summary.py" "$2"
else
    main
fi
