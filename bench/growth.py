#!/usr/bin/env python3
"""Throughput of bench_train as the work grows: figure lines, and a plot.

usage: bench/growth.py run BIN FIGURES     runs every point once with BIN/bench_train, appends its figure lines
       bench/growth.py table FIGURES       a Markdown table of medians
       bench/growth.py plot FIGURES SVG    four panels, one a dimension of growth
"""
import math
import statistics
import subprocess
import sys

BASE = "--mode metabalance --threads 2 --seconds 2"
GROWTH = {  # axis -> its arguments by value
    "rows": {n: f"--batch 1024 --fill 1 --rows {n}" for n in (100_000, 1_000_000, 3_000_000, 10_000_000)},
    "tasks": {n: f"--batch 1024 --tasks {n}" for n in (2, 4, 8)},
    "domains": {n: f"--batch 1024 --domains {n} --star {2 if n > 1 else 0}" for n in (1, 4, 15, 40, 100)},
    "batch": {n: f"--batch {n} --lanes {min(max(2, n // 256), 8)}" for n in (64, 256, 1024, 4096, 8192)},
}


def run(programs, path):
    with open(path, "a") as file:
        for axis, points in GROWTH.items():
            for value, arguments in points.items():
                command = f"{programs}/bench_train --case growth-{axis}-{value} {arguments} {BASE}"
                done = subprocess.run(command.split(), stdout=subprocess.PIPE, check=True, text=True)
                file.write(done.stdout)
                file.flush()


def read(path):
    """axis -> [(value, median examples/s)], in the order of growth."""
    found = {}
    with open(path) as file:
        for line in file:
            pairs = dict(pair.split("=", 1) for pair in line.split()[1:])
            name = pairs.get("case", "").split("-")
            if name[0] == "growth" and pairs["unit"] == "examples/s":
                found.setdefault(name[1], {}).setdefault(int(name[2]), []).append(float(pairs["value"]))
    return {axis: [(value, statistics.median(points[value])) for value in sorted(points)]
            for axis, points in found.items()}


def short(value):
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if value >= size and value % (size // 10) == 0:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def table(path):
    print("| grows | examples/s, in thousands |\n|---|---|")
    for axis, points in read(path).items():
        print(f"| {axis} | " + ", ".join(f"{short(x)}: {y / 1000:.1f}" for x, y in points) + " |")


def panel(axis, points, left, top, width, height):
    lowest, highest = points[0][0], points[-1][0]
    most = 1.15 * max(y for _, y in points)
    at = [(left + width * math.log(x / lowest) / math.log(highest / lowest), top + height * (1 - y / most))
          for x, y in points]
    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#bbb"/>',
             f'<text x="{left + width / 2}" y="{top - 8}" text-anchor="middle" font-weight="bold">{axis}</text>',
             '<polyline fill="none" stroke="#1667a8" stroke-width="2" points="'
             + " ".join(f"{x:.1f},{y:.1f}" for x, y in at) + '"/>']
    for (x, y), (value, speed) in zip(at, points):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1667a8"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{speed / 1000:.0f} k</text>')
        parts.append(f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{short(value)}</text>')
    return parts


def plot(path, output):
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="820" height="560" font-family="sans-serif" '
             'font-size="12"><rect width="820" height="560" fill="white"/>']
    for i, (axis, points) in enumerate(read(path).items()):
        parts += panel(axis, points, 50 + 400 * (i % 2), 40 + 270 * (i // 2), 330, 200)
    parts.append("</svg>")
    with open(output, "w") as file:
        file.write("\n".join(parts) + "\n")


def main():
    commands = {"run": (run, 2), "table": (table, 1), "plot": (plot, 2)}
    command, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if command is None or len(sys.argv) != 2 + count:
        sys.exit(__doc__.split("\n\n")[1].rstrip())
    command(*sys.argv[2:])


main()
