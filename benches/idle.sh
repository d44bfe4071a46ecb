#!/usr/bin/env bash
# Memory of idle connections in the server's user space, in no room, in one, and in a room each: benches/peers.sh with these works.
#
#   benches/idle.sh [CONNECTIONS]                  15000; a process has 20000 descriptors
#   SERVERS="nchan" benches/idle.sh
set -euo pipefail
export SERVERS=${SERVERS:-"trunkline nchan"} WORKS=${WORKS:-"idle-none idle idle-rooms"} CONNECTIONS=${1:-15000}
exec "$(dirname "${BASH_SOURCE[0]}")/peers.sh" "${PAIRS:-1}"
