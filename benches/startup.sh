#!/usr/bin/env bash
# From exec to the first connection accepted, with the example and the demo, and the size of the binary.
#
#   benches/startup.sh [RUNS]                      20
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

RUNS=${1:-20}
export JWT_SECRET=a-bench-secret-of-at-least-32-bytes!! API_KEY=a-bench-key-of-at-least-thirty-two-bytes

for config in examples/fastapi-parity/channels.yaml benches/channels.yaml; do
    printf '%s: ' "$config"
    python3 "$ROOT/benches/startup.py" $TRUNKLINE_PORT "$RUNS" taskset -c "$SERVER_CORES" "$TRUNKLINE" serve "$ROOT/$config"
done
echo "binary: $(stat -c %s "$TRUNKLINE") bytes"
