#!/usr/bin/env bash
# trunkline beside its peers and beside the floor: the same works, one server after the other within each round, so that whatever
# else the machine does meets all of them. Prints a Markdown table for each work.
#
#   benches/peers.sh [PAIRS]                       5 rounds
#   SERVERS="floor trunkline" benches/peers.sh     some of: floor floor-single trunkline trunkline-raw nchan ws socketio sockudo fastapi
#   WORKS="one echo" benches/peers.sh              some of: one sixteen rooms rooms-busy echo handshakes idle stalled storm threads,
#                                                  and idle-none idle-rooms, which benches/idle.sh asks for
#   QUICK=yes benches/peers.sh 1                   little of each work: shows that all of it runs, not what it costs
#   DURATION=10s benches/peers.sh                  how long each measurement takes; 4 s, after 1 s that does not count
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
if [ -n "${QUICK:-}" ]; then DURATION=300ms WARM_UP=100ms; else DURATION=${DURATION:-4s} WARM_UP=1s; fi

# How much there is of something: all of it, or with QUICK a twentieth.
some() {
    if [ -n "${QUICK:-}" ]; then echo $((($1 + 19) / 20)); else echo "$1"; fi
}

# WORK SERVER: one measurement with a server of its own.
measure() {
    local work=$1 server=$2
    case $work in
    one) load "$work" "$server" room fanout --readers 1000 --window 1 --duration $DURATION ;;
    sixteen) load "$work" "$server" room fanout --readers 1000 --window 16 --duration $DURATION ;;
    rooms) load "$work" "$server" room rooms --rooms 1000 --members 10 --window 1 --duration $DURATION ;;
    rooms-busy) load "$work" "$server" room rooms --rooms 1000 --members 10 --window 1000 --duration $DURATION ;;
    echo) load "$work" "$server" echo echo --connections 100 --window 1 --duration $DURATION ;;
    handshakes) handshakes "$server" ;;
    idle) ROOM=everyone idle "$work" "$server" room ;;
    idle-rooms) idle "$work" "$server" room ;;
    idle-none) idle "$work" "$server" echo ;;
    stalled) stalled "$server" ;;
    storm) load "$work" "$server" echo storm --clients "$(some 12000)" --busy "$(some 2000)" --rate "$(some 2000)" --duration $DURATION ;;
    threads) threads "$server" ;;
    *) echo "there is no work $work" >&2; exit 2 ;;
    esac
}

# What the check of a token adds is a line of its own.
handshakes() {
    local server=$1
    load handshakes "$server" handshake churn --concurrency 50 --duration $DURATION
    if [ "$server" = trunkline ]; then
        load handshakes trunkline-token handshake churn --concurrency 50 --duration $DURATION
    fi
}

# WORK SERVER WHAT. Python and Socket.IO take so much memory that fewer tell as much.
idle() {
    local work=$1 server=$2 what=$3 connections=${CONNECTIONS:-15000}
    case $server in fastapi | socketio) connections=$((connections / 3)) ;; esac
    load "$work" "$server" "$what" idle --connections "$(some "$connections")"
}

# Six megabytes for each reader: more than the kernel's buffers hold for one that does not take them.
stalled() {
    local server=$1 percent
    for percent in 0 10; do
        SIZE=16000 load "stalled-$percent" "$server" room fanout --readers 1000 --window 16 --messages "$(some 400)" --stalled $percent
    done
}

# One thread and two, on the same cores: with two cores the load has to share them, in both cases alike.
threads() {
    local server=$1 count
    case $server in trunkline | trunkline-raw | nchan | sockudo | candidate-*) ;; *) return ;; esac
    for count in 1 2; do
        local SERVER_CORES=${THREADS_CORES:-0,1} LOAD_CORES=${THREADS_LOAD_CORES:-0,1} NGINX_WORKERS=$count
        export TOKIO_WORKER_THREADS=$count
        load "threads-$count" "$server" room fanout --readers 1000 --window 16 --duration $DURATION
        load "threads-$count-rooms" "$server" room rooms --rooms 1000 --members 10 --window 1000 --duration $DURATION
        unset TOKIO_WORKER_THREADS
    done
}

# WORK SERVER WHAT PROFILE OPTION…: starts the server, puts the load on it, keeps the line.
load() {
    local work=$1 server=$2 what=$3 profile=$4 line
    shift 4
    speak "$server" "$what" || return 0
    # What stands in the braces is the load's to fill in, unless all are to be in one room.
    [ -z "${ROOM:-}" ] || { URL=${URL//"{room}"/$ROOM} && SPEECH=("${SPEECH[@]//"{room}"/$ROOM}"); }
    if start "$server"; then
        line=$(taskset -c "$LOAD_CORES" "$BENCH" bench "$profile" "$URL" "${SPEECH[@]}" --size "${SIZE:-128}" --warmup $WARM_UP "$@" \
            --pid "$SERVER_PID" --children --json 2>"$OUT/load.log")
    else
        line=
    fi
    stop_servers
    if [ -z "$line" ]; then
        echo "$work, $server: $(tail -n 3 "$OUT/load.log")" >&2
        line='{"failed":1}'
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
    python3 "$ROOT/benches/summary.py" "$RESULTS"
}

if [ "$PAIRS" = --table ]; then
    python3 "$ROOT/benches/summary.py" "$2"
else
    main
fi
