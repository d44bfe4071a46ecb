#!/usr/bin/env bash
# What bad handshakes cost those who are in: 1,000 readers get messages at a steady rate, alone and while one address makes 2,000 bad
# handshakes a second (a forged token, a page that may not connect, more than may connect). Prints the server's processor time for a
# delivery with and without, the ratio, and the readers' latency.
#
#   benches/handshakes.sh [ROUNDS]                 3; interleaved, the table has the medians
#   ATTACK=2000 READERS=1000 RATE=200 DURATION=10 benches/handshakes.sh
#   BENCH=…/trunkline                              whose `trunkline bench` is the load; the server under test unless it says otherwise
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

ROUNDS=${1:-3}
ATTACK=${ATTACK:-2000} READERS=${READERS:-1000} RATE=${RATE:-200} DURATION=${DURATION:-10}
BENCH=${BENCH:-$TRUNKLINE}
RESULTS=$OUT/handshakes.jsonl
: >"$RESULTS"

# KIND: one run with a server of its own. The attack lasts as long as the messages, and the warm-up before them.
measure() {
    local kind=$1 attacker= line
    start_server $TRUNKLINE_PORT "$TRUNKLINE" serve "$ROOT/benches/handshakes.yaml" || exit 1
    if [ "$kind" != none ]; then
        # It begins once the readers are there.
        (sleep "${SETTLE:-2}"; exec taskset -c "$LOAD_CORES" python3 "$ROOT/benches/handshakes.py" $TRUNKLINE_PORT "$kind" "$ATTACK" \
            "$((DURATION + 1))") >"$OUT/attack.json" &
        attacker=$!
    fi
    line=$(taskset -c "$LOAD_CORES" "$BENCH" bench fanout "ws://127.0.0.1:$TRUNKLINE_PORT/ws/{room}" --readers "$READERS" --rate "$RATE" \
        --size 128 --warmup "${SETTLE:-2}s" --duration "${DURATION}s" --pid "$SERVER_PID" --json)
    if [ -n "$attacker" ]; then
        wait "$attacker" || { echo "$kind: the attack did not go as it should: $(cat "$OUT/attack.json")" >&2; exit 1; }
        cat "$OUT/attack.json" >&2
    fi
    stop_servers
    [ -n "$line" ] || { echo "$kind: the load found nothing" >&2; exit 1; }
    echo "{\"kind\":\"$kind\",${line#\{}" >>"$RESULTS"
}

for _ in $(seq "$ROUNDS"); do
    for kind in none token origin limit; do measure "$kind"; done
done
python3 - "$RESULTS" <<'PYTHON'
import json
import statistics
import sys

runs = [json.loads(line) for line in open(sys.argv[1])]


def median(kind, name):
    return statistics.median(run[name] for run in runs if run["kind"] == kind)


alone = median("none", "cpu_us_per_delivery")
print("| bad handshakes | µs of CPU for a delivery | ratio | p99 in ms |\n|---|---:|---:|---:|")
for kind in ("none", "token", "origin", "limit"):
    cost = median(kind, "cpu_us_per_delivery")
    print(f"| {kind} | {cost:.3f} | {cost / alone:.2f} | {median(kind, 'latency_p99_us') / 1000:.2f} |")
PYTHON
