#!/usr/bin/env bash
# Conformance to RFC 6455 and RFC 7692: Autobahn's fuzzing client against the release binary.
#
#   tests/autobahn/run.sh                every section, of 12 and 13 (compression) the first family each
#   tests/autobahn/run.sh compression    all families of sections 12 and 13, which takes longer than everything else
#   tests/autobahn/run.sh compression 1 2 11    of each of these families the cases of these numbers
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/install.sh
install_python
install_autobahn
exec .cache/python/bin/python tests/autobahn/run.py "$@"
