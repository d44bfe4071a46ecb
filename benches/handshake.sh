#!/usr/bin/env bash
# Processor time of a handshake: trunkline with and without an HS256 token, nginx with Nchan without.
#
#   benches/handshake.sh [RUNS] [CONNECTIONS]
#   SERVERS="trunkline" benches/handshake.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

RUNS=${1:-3}
CONNECTIONS=${2:-15000}
SERVERS=${SERVERS:-"trunkline nchan"}
RESULTS=$OUT/handshake.jsonl
TOKENS=$OUT/tokens.txt

build_load
# A user each: a crowd of one user's connections is another work.
python3 - "$CONNECTIONS" >"$TOKENS" <<'PYTHON'
import base64, hashlib, hmac, json, sys, time
def text(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
head = text(b'{"alg":"HS256","typ":"JWT"}')
for number in range(int(sys.argv[1])):
    claims = text(json.dumps({"sub": f"user-{number}", "exp": int(time.time()) + 86400}).encode())
    key = b"a secret of thirty-two characters"
    print(f"{head}.{claims}.{text(hmac.new(key, f'{head}.{claims}'.encode(), hashlib.sha256).digest())}")
PYTHON
: >"$RESULTS"
for run in $(seq "$RUNS"); do
    for server in $SERVERS; do
        case $server in
        trunkline)
            start_trunkline
            for mode in "HS256:/member?token={token}" "no token:/idle"; do
                load handshake --address 127.0.0.1:$TRUNKLINE_PORT --pid "$TRUNKLINE_PID" --path "${mode#*:}" \
                    --tokens "$TOKENS" --ready frame --connections "$CONNECTIONS" | record trunkline "${mode%%:*}" "$RESULTS"
            done ;;
        nchan)
            start_nchan
            load handshake --address 127.0.0.1:$NCHAN_PORT --pid "$NCHAN_PID" --path "/sub?id={room}" \
                --connections "$CONNECTIONS" | record nchan "no token" "$RESULTS" ;;
        esac
        stop_servers
    done
done
