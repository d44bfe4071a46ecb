"""Medians and spreads of a benchmark's lines of JSON, as a table."""

import collections
import json
import statistics
import sys

COLUMNS = {
    "cpu_us_per_delivery": "CPU µs per delivery",
    "deliveries_per_second": "deliveries/s",
    "deliveries_per_write_call": "deliveries per write call",
    "latency_p99_us": "p99 in µs",
    "bytes_per_connection": "bytes per connection",
    "shared_bytes_per_connection": "shared bytes per connection",
    "median_ms": "ms to listening",
}
# Of these there should be none.
FAULTS = ["lost", "duplicates", "out_of_order", "strays", "refused", "closed"]

runs = collections.defaultdict(list)
for line in open(sys.argv[1]):
    result = json.loads(line)
    runs[result["mode"], result["server"]].append(result)
present = [column for column in COLUMNS if any(column in result for results in runs.values() for result in results)]

print("| mode | server | runs | " + " | ".join(f"{COLUMNS[column]}: median (min–max)" for column in present) + " | wrong |")
print("|---|---|---:|" + "---:|" * (len(present) + 1))
wrong_in_all = 0
for (mode, server), results in sorted(runs.items()):
    cells = []
    for column in present:
        values = [result[column] for result in results if column in result]
        cells.append(f"{statistics.median(values):,.10g} ({min(values):,.10g}–{max(values):,.10g})" if values else "")
    wrong = sum(result.get(fault, 0) for result in results for fault in FAULTS)
    wrong_in_all += wrong
    print(f"| {mode} | {server} | {len(results)} | " + " | ".join(cells) + f" | {wrong} |")
sys.exit(1 if wrong_in_all else 0)
