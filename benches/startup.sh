#!/usr/bin/env bash
# From exec to the first connection accepted, with the example and the demo, and the size of the binary.
#
#   benches/startup.sh [RUNS]                      20
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

export JWT_SECRET=a-bench-secret-of-at-least-32-bytes!! API_KEY=a-bench-key-of-at-least-thirty-two-bytes PORT=$TRUNKLINE_PORT
for config in examples/fastapi-parity/channels.yaml benches/channels.yaml; do
    python3 - "$PORT" "${1:-20}" taskset -c "$SERVER_CORES" "$TRUNKLINE" serve "$ROOT/$config" <<'PYTHON'
import socket
import statistics
import subprocess
import sys
import time

port, runs, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


def is_listening():
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def start():
    begun = time.perf_counter()
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_listening():
            if server.poll() is not None or time.perf_counter() - begun > 20:
                sys.exit(f"{command} does not listen on port {port}")
        return 1000 * (time.perf_counter() - begun)
    finally:
        server.kill()
        server.wait()


if is_listening():
    sys.exit(f"something listens on port {port} already")
times = [start() for _ in range(runs)]
print(f"{command[-1]}: median {statistics.median(times):.1f} ms ({min(times):.1f}–{max(times):.1f}) in {runs} runs")
PYTHON
done
echo "binary: $(stat -c %s "$TRUNKLINE") bytes"
