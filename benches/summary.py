"""Markdown tables of a run of benches/peers.sh, or of a script that is a part of it: for each work every server's median, spread, and ratio to the floor and to trunkline.

Ends with 1 when a line tells of a loss, a repetition or a wrong order, or when a run failed.
"""

import collections
import json
import statistics
import sys

DELIVERY = {
    "cpu_us_per_delivery": "CPU µs per delivery",
    "deliveries_per_second": "deliveries/s",
    "latency_p99_us": "p99 µs",
    "deliveries_per_write_call": "deliveries per write call",
}
MEMORY = {
    "bytes_per_connection": "bytes per connection",
    "shared_bytes_per_connection": "shared bytes per connection",
    "connections": "connections",
}
# The title, and the columns: the first one is what the ratios are of.
WORKS = {
    "one": ("1 room × 1,000 readers, one message in flight", DELIVERY),
    "sixteen": ("1 room × 1,000 readers, 16 in flight", DELIVERY),
    "rooms": ("1,000 rooms × 10 members, one message in flight", DELIVERY),
    "rooms-busy": ("1,000 rooms × 10 members, a message in flight for each room", DELIVERY),
    "echo": ("Echo, 100 connections", DELIVERY),
    "handshakes": (
        "Handshakes",
        {
            "cpu_us_per_handshake": "CPU µs per handshake",
            "handshakes_per_second": "handshakes/s",
            "handshake_p99_us": "p99 µs",
        },
    ),
    "idle-none": ("Idle connections in no room", MEMORY),
    "idle": ("Idle connections in one room", MEMORY),
    "idle-rooms": ("Idle connections, each in a room of its own", MEMORY),
    "stalled-0": ("1 room × 1,000 readers, large messages, all read", DELIVERY),
    "stalled-10": (
        "1 room × 1,000 readers, large messages, 10 % have stopped reading",
        DELIVERY | {"stalled_closed": "of the stalled closed"},
    ),
    "storm": (
        "A crowd reconnects beside busy connections",
        {
            "back_seconds": "s until all are back",
            "busy_before_p99_us": "busy p99 µs before",
            "busy_during_p99_us": "during",
            "busy_after_p99_us": "after",
            "failures": "failed attempts",
        },
    ),
    "threads-1": ("One server thread: 1 room × 1,000 readers, 16 in flight", DELIVERY),
    "threads-2": ("Two server threads: the same", DELIVERY),
    "threads-1-rooms": ("One server thread: 1,000 rooms × 10 members", DELIVERY),
    "threads-2-rooms": ("Two server threads: the same", DELIVERY),
}
FAULTS = ("lost", "duplicates", "out_of_order", "strays", "refused", "closed", "missing", "failed")


def figures(results, column):
    return [result[column] for result in results if column in result]


def rounded(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def cell(values):
    if not values:
        return "–"
    low, high = min(values), max(values)
    spread = "" if low == high else f" ({rounded(low)}–{rounded(high)})"
    return rounded(statistics.median(values)) + spread


def ratio(mine, other):
    if not mine or not other or statistics.median(other) == 0:
        return "–"
    return f"{statistics.median(mine) / statistics.median(other):.2f}"


def faults(results):
    found = {name: sum(figures(results, name)) for name in FAULTS}
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found.items() if count)


def table(work, servers):
    title, columns = WORKS[work]
    main = next(iter(columns))
    runs = max(len(results) for results in servers.values())
    print(f"\n### {title}\n\n{runs} runs each; median (lowest–highest).\n")
    print("| server | " + " | ".join(columns.values()) + " | to the floor | to trunkline | faults |")
    print("|---|" + "---:|" * (len(columns) + 2) + "---|")
    reference = {name: figures(servers.get(name, []), main) for name in ("floor", "trunkline")}
    for server, results in servers.items():
        cells = [cell(figures(results, column)) for column in columns]
        cells += [ratio(figures(results, main), reference[name]) for name in ("floor", "trunkline")]
        print(f"| {server} | " + " | ".join(cells) + f" | {faults(results)} |")
    return any(faults(results) for results in servers.values())


def main():
    works = collections.defaultdict(lambda: collections.defaultdict(list))
    busy = 0
    for line in open(sys.argv[1]):
        result = json.loads(line)
        works[result["work"]][result["server"]].append(result)
        busy += bool(result.get("client_is_bottleneck"))
    is_faulty = [table(work, works[work]) for work in WORKS if work in works]
    if busy:
        print(f"\nIn {busy} runs the load had no reserve left: trust their CPU, not their rates and times.")
    sys.exit(1 if any(is_faulty) else 0)


main()
