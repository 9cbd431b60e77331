#!/usr/bin/env python3
"""A trainer that learnt from a poisoned stretch is rewound to before it and learns the rest without it.

usage: rewind.py FRESHET     files and a real Redis

In the end its model must be, to the bit, that of a trainer that went over the same examples and never learnt
from the stretch: one that was rewound in the same way before it had learnt anything of it.
"""
import json
import os
import sys

from place import Place, accounts, end, expect, finish, wait_for

FRESHET = os.path.abspath(sys.argv[1])
START, SPAN_S = 1700000000, 1500
BATCHES = [START + i * SPAN_S for i in range(4)]


def simulate(place, batch):
    place.environment["START_MS"] = str(BATCHES[batch] * 1000)
    done = place.run("simulate", "--impressions", str(SPAN_S), "--seed", str(batch))
    expect(done.returncode == 0, "simulate", done.stderr)


def prepared(name):
    place = Place(FRESHET)
    place.environment["FRESHET_NAME"] = name
    place.write_config(("simulate: {", "simulate: {rate: 1, start: \"${START_MS:-0}\", finish: false, "),
                       ("  runner: {order: event_time}\n\npublisher",
                        "  runner: {order: event_time, checkpoints_kept: 100, checkpoint_interval: 20ms}\n\npublisher"),
                       ("batch_rows: 64", "batch_rows: 16"))
    place.server("start", "redis")
    simulate(place, 0)
    live(place)
    return place


def live(place):
    """The daemon, until it has folded all there is."""
    daemon = place.start("run")
    quiet = []

    def settled():
        quiet.append(sum(os.path.getsize(os.path.join(folder, name))
                         for folder, _, names in os.walk(f"{place.work}/logs") for name in names))
        return len(quiet) > 20 and len(set(quiet[-20:])) == 1

    wait_for(settled, "all is folded", 60)
    end(daemon, "the daemon", detail=place.said)


def rewind(place, *words, code=0, message="rewound"):
    done = place.run("rewind", *words)
    expect(done.returncode == code and message in done.stdout + done.stderr and len(done.stderr.splitlines()) < 4,
           f"rewind {' '.join(words)}: exit code {code} and '{message}'", f"{done.returncode} {done.stdout} {done.stderr}")


def finished(place):
    done = place.run("run", "--finish", "--report", f"{place.work}/report.json")
    expect(done.returncode == 0, "the end", done.stderr[-2000:])
    with open(f"{place.work}/report.json") as text:
        return json.load(text)["fingerprint"], accounts(done.stdout)


def utc(seconds):
    return str(seconds * 1000)


def main():
    place = prepared("poisoned")
    simulate(place, 1)
    live(place)
    simulate(place, 2)
    live(place)
    poison = f"{utc(BATCHES[1])}..{utc(BATCHES[2])}"
    lineage = place.inspect("redis")[0]["value"]["lineage"]
    daemon = place.start("train")
    wait_for(lambda: "event=recovered" in place.said(), "the trainer runs")
    rewind(place, "--to", utc(BATCHES[1]), code=5, message="another process holds it")
    end(daemon, "the trainer")
    rewind(place, "--to", utc(BATCHES[3]), code=3, message="it has come to")
    rewind(place, code=2, message="--to is missing")
    rewind(place, "--to", utc(BATCHES[1]), "--skip", "now", code=2, message="expected TIME..TIME")
    rewind(place, "--to", utc(BATCHES[1]), "--skip", f"{utc(START)}..{utc(BATCHES[2])}", code=2,
           message="--skip must begin before it ends")
    rewind(place, "--to", utc(BATCHES[1]), "--skip", poison)
    simulate(place, 3)
    found = finished(place)
    skipped = found[1]["poisoned.trainer", "examples"].get("dropped.skipped", 0)
    expect(skipped > SPAN_S, "the stretch was left out", found[1])
    manifest = place.inspect("redis")[0]["value"]
    expect(manifest["lineage"] != lineage, "another lineage is in Redis", manifest)
    done = place.run("score", "--verify", "200")
    expect(done.returncode == 0 and json.loads(done.stdout)["largest_difference"] <= 1e-6,
           "Redis holds the rewound trainer's model", done.stdout + done.stderr)
    place.write_config(("checkpoints_kept: 100", "checkpoints_kept: 1"), base=place.config)
    finished(place)
    rewind(place, "--to", utc(START), code=1, message="the oldest checkpoint kept stands at 2023-11-1")
    place.close()

    clean = prepared("clean")
    rewind(clean, "--to", utc(START + 300), "--skip", poison)
    for batch in (1, 2, 3):
        simulate(clean, batch)
    wanted = finished(clean)
    expect(wanted[0] == found[0], "the model is that of a trainer that never learnt from the stretch",
           f"{wanted}\n{found}")
    clean.close()
    finish()


main()
