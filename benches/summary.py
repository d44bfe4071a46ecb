"""Medians and spreads of a benchmark's lines of JSON, as a table."""

import collections
import json
import statistics
import sys

COLUMNS = {
    "cpu_us_per_delivery": "CPU µs per delivery",
    "deliveries_per_second": "deliveries/s",
    "deliveries_per_write_call": "deliveries per write call",
    "frames_per_socket_write": "frames per socket write",
    "bytes_per_connection": "bytes per connection",
    "shared_bytes_per_connection": "shared bytes per connection",
    "median_ms": "ms to listening",
}

runs = collections.defaultdict(list)
for line in open(sys.argv[1]):
    result = json.loads(line)
    runs[result["mode"], result["server"]].append(result)
present = [column for column in COLUMNS if any(column in result for results in runs.values() for result in results)]

print("| mode | server | runs | " + " | ".join(f"{COLUMNS[column]}: median (min–max)" for column in present) + " | lost, repeated or late |")
print("|---|---|---:|" + "---:|" * (len(present) + 1))
lost_in_all = 0
for (mode, server), results in sorted(runs.items()):
    cells = []
    for column in present:
        values = [result[column] for result in results if column in result]
        cells.append(f"{statistics.median(values):,g} ({min(values):,g}–{max(values):,g})" if values else "")
    lost = sum(result.get("lost", 0) + result.get("repeated_or_late", 0) for result in results)
    lost_in_all += lost
    print(f"| {mode} | {server} | {len(results)} | " + " | ".join(cells) + f" | {lost} |")
sys.exit(1 if lost_in_all else 0)
