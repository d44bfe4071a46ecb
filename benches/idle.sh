#!/usr/bin/env bash
# Memory of idle connections in the server's user space: RssAnon before and after.
#
#   benches/idle.sh [CONNECTIONS]                  15000; a process has 20000 descriptors
#   SERVERS="nchan" benches/idle.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

CONNECTIONS=${1:-15000}
SERVERS=${SERVERS:-"trunkline nchan"}
RESULTS=$OUT/idle.jsonl

: >"$RESULTS"
for server in $SERVERS; do
    for spread in "one room each" "1 room" "no room"; do
        case $spread in
        "one room each") room='{n}' path='/ws/{n}' ;;
        "1 room") room=everyone path=/ws/everyone ;;
        "no room")
            [ "$server" = trunkline ] || continue
            path=/idle ;;
        esac
        case $server in
        trunkline)
            start_trunkline
            target=("ws://127.0.0.1:$TRUNKLINE_PORT$path" --pid "$TRUNKLINE_PID") ;;
        nchan)
            start_nchan
            target=("ws://127.0.0.1:$NCHAN_PORT/sub?id=$room" --raw --pid "$NCHAN_PID") ;;
        esac
        load idle "${target[@]}" --connections "$CONNECTIONS" | record "$server" "$CONNECTIONS idle, $spread" "$RESULTS"
        stop_servers
    done
done
python3 "$ROOT/benches/summary.py" "$RESULTS"
