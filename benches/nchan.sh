#!/usr/bin/env bash
# CPU per delivery beside nginx with Nchan: benches/peers.sh with fewer servers and works.
#
#   benches/nchan.sh [PAIRS]                       5 rounds; all that benches/peers.sh takes
#   QUICK=yes benches/nchan.sh 1                   few messages: shows that nothing is lost, not what it costs
set -euo pipefail
export SERVERS=${SERVERS:-"trunkline trunkline-raw nchan"} WORKS=${WORKS:-"one sixteen rooms"}
exec "$(dirname "${BASH_SOURCE[0]}")/peers.sh" "$@"
