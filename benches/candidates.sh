#!/usr/bin/env bash
# The candidates for delivery (benches/candidates) beside each other, the floor and trunkline: benches/peers.sh with other servers.
#
#   benches/candidates.sh [PAIRS]                  5 rounds; all that benches/peers.sh takes
set -euo pipefail
export SERVERS=${SERVERS:-"floor candidate-task candidate-inline candidate-turn candidate-shards trunkline trunkline-raw"}
export WORKS=${WORKS:-"one sixteen rooms rooms-busy threads"}
exec "$(dirname "${BASH_SOURCE[0]}")/peers.sh" "$@"
