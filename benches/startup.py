"""The time from exec to the first connection that a server accepts: startup.py PORT RUNS COMMAND…"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time

DEADLINE = 20.0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_once(port: int, command: list[str]) -> float:
    """Milliseconds."""
    if listens(port):
        sys.exit(f"something listens on port {port} already")
    begun = time.perf_counter()
    server = subprocess.Popen(
        command, env=os.environ | {"PORT": str(port)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not listens(port):
            if server.poll() is not None:
                sys.exit(f"{command[0]} ended with {server.returncode} before it listened")
            if time.perf_counter() - begun > DEADLINE:
                sys.exit(f"{command[0]} does not listen on port {port} after {DEADLINE:.0f} s")
        return 1000 * (time.perf_counter() - begun)
    finally:
        # SIGKILL: how it stops is not what is measured here.
        server.kill()
        server.wait()


port, runs, *command = sys.argv[1:]
times = [start_once(int(port), command) for _ in range(int(runs))]
print(
    json.dumps(
        {
            "runs": len(times),
            "median_ms": round(statistics.median(times), 2),
            "min_ms": round(min(times), 2),
            "max_ms": round(max(times), 2),
        }
    )
)
