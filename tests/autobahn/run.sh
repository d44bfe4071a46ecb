#!/usr/bin/env bash
# RFC 6455 conformance: Autobahn's fuzzing client against the release binary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/install.sh
install_python
install_autobahn
exec .cache/python/bin/python tests/autobahn/run.py
