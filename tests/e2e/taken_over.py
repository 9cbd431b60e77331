#!/usr/bin/env python3
"""A deployment taken over by another machine, while the first is only asleep.

The first daemon is stopped (SIGSTOP) after its checkpoints were copied; a second one, whose folder is empty,
goes on from the copies, the journal and the retained inputs, and ends exactly as an undisturbed run. Woken
again, the first must say that it was taken over and stop.

usage: taken_over.py FRESHET [SECONDS]     real daemons, a real Redis and a real Kafka; SECONDS asleep
"""
import os
import signal
import sys
import time

from place import Place, expect, finish, wait_for

FRESHET = os.path.abspath(sys.argv[1])
ASLEEP_S = float(sys.argv[2]) if len(sys.argv) > 2 else 1
IMPRESSIONS = 4000


def account_lines(text):
    """Of ingest and trainer: the publisher keeps its place in Redis."""
    return sorted(line for line in text.splitlines()
                  if line.startswith("account ") and ".publisher " not in line)


def scores(place):
    """Without the version's number, which counts ticks of the clock."""
    done = place.run("score", "--from-log", "20")
    expect(done.returncode == 0, "scores can be had", done.stderr)
    return [line[: line.index(',"version"')] for line in done.stdout.splitlines()]


def simulated(backend, *changes):
    place = Place(FRESHET, backend)
    place.write_config(*changes)
    place.server("start", "redis")
    if backend == "kafka":
        place.server("start", "kafka")
    expect(place.run("simulate", "--impressions", str(IMPRESSIONS)).returncode == 0, "simulate")
    return place


def undisturbed():
    place = simulated("files")
    done = place.run("run", "--finish")
    expect(done.returncode == 0, "an undisturbed run succeeds", done.stderr)
    result = account_lines(done.stdout), scores(place)
    place.close()
    return result


def has_copies(copies):
    tasks = os.listdir(copies) if os.path.isdir(copies) else []
    return len(tasks) == 3 and all(
        any(name.isdigit() for name in os.listdir(f"{copies}/{task}/checkpoints")) for task in tasks
        if os.path.isdir(f"{copies}/{task}/checkpoints"))


def main():
    wanted = undisturbed()
    # The topics are not ended, so that the first daemon waits for more when all is read.
    place = simulated("kafka", ("\ndirectory:", "\ncheckpoint_copies: ${FRESHET_COPIES:-}\ndirectory:"),
                      ("simulate: {", "simulate: {finish: false, "),
                      ("runner: {", "runner: {checkpoint_interval: 200ms, "),
                      ("  runner: {order", "  runner: {checkpoint_interval: 200ms, order"))
    copies = place.environment["FRESHET_COPIES"] = os.path.join(place.work, "copies")
    first = place.start("run")
    wait_for(lambda: has_copies(copies) or first.poll() is not None, "checkpoints are copied", 60)
    first.send_signal(signal.SIGSTOP)
    first_log = place.begun
    place.environment["FRESHET_DIRECTORY"] = os.path.join(place.work, "other")
    second = place.start("run", "--finish")
    code = second.wait(120)
    expect(code == 0, f"the second ends by itself, not with {code}", place.said())
    expect(place.said().count("event=checkpoint-restored") == 3, "the copies were used", place.said())
    expect(account_lines(place.out()) == wanted[0], "the same accounts", place.out())
    found = scores(place)
    expect(found == wanted[1], "the same scores", f"{found}\n{wanted[1]}")
    time.sleep(ASLEEP_S)
    first.send_signal(signal.SIGCONT)
    code = first.wait(60)
    place.begun = first_log
    expect(code == 5, f"the first stops once it wakes, with exit code 5, not {code}", place.said())
    expect("has a newer writer" in place.said().splitlines()[-1], "and says why in its last line",
           place.said())
    place.close()
    finish()


main()
