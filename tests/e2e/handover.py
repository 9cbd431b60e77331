#!/usr/bin/env python3
"""A backfill beside a live deployment, handed over while a service scores by its model all the time.

usage: handover.py FRESHET     files and a real Redis

The service must answer every request, by a whole model each time: one version, one set of scores. In the
end Redis holds the new lineage's model, and every event there is has been learnt once.
"""
import json
import os
import sys
import threading
import time
import urllib.request

from place import Place, accounts, end, expect, finish, wait_for

FRESHET = os.path.abspath(sys.argv[1])
ROWS = [{"user_id": str(user), "item_id": str(user), "domain": str(user % 4)} for user in range(20)]


class Scoring(threading.Thread):
    """Asks the service without a pause; answers are (version, scores)."""

    def __init__(self, address):
        super().__init__()
        self.address, self.answers, self.failures, self.stopped = address, [], [], False

    def run(self):
        body = json.dumps({"rows": ROWS}).encode()
        while not self.stopped:
            try:
                with urllib.request.urlopen(f"{self.address}/score", data=body, timeout=10) as answer:
                    found = json.load(answer)
                    self.answers.append((found["version"], found["scores"]))
            except Exception as reason:  # of whatever kind: it is a gap
                self.failures.append(str(reason))
            time.sleep(0.005)

    def check(self):
        expect(not self.failures, "every request is answered", self.failures[:3])
        for before, after in zip(self.answers, self.answers[1:]):
            if before[0] == after[0] and before[1] != after[1]:
                return expect(False, f"version {before[0]} has one set of scores", f"{before}\n{after}")
        return expect(len({version for version, _ in self.answers}) > 1, "several versions were served",
                      [version for version, _ in self.answers])


def simulate(place, seed):
    place.environment["START_MS"] = str(1700000000000 + 1500000 * seed)  # one behind the other
    done = place.run("simulate", "--impressions", "1500", "--seed", str(seed))
    expect(done.returncode == 0, "simulate", done.stderr)


def manifest(place):
    value = place.inspect("redis")[0]["value"]
    return (value["lineage"], value["version"]) if value else ("", 0)


def refused(place, code, message, *words):
    done = place.run("replay", *words)
    expect(done.returncode == code and message in done.stderr and len(done.stderr.splitlines()) < 3,
           f"replay {' '.join(words)}: '{message}'", f"{done.returncode} {done.stderr[-1000:]}")


def serve(place):
    process = place.start("serve", "--listen", "127.0.0.1:0")
    port = place.port()
    scoring = Scoring(f"http://127.0.0.1:{port}")
    scoring.start()
    return process, scoring


def backfilled(place):
    """A replay beside the live daemon, stopped once it has caught up."""
    beside = place.start("replay", "--beside", "--threads", "1")
    begun = place.begun
    simulate(place, 2)
    wait_for(lambda: "event=caught-up" in place.said() or beside.poll() is not None, "the replay catches up", 60)
    expect("event=caught-up" in place.said(), "the replay says that it has caught up", place.said())
    simulate(place, 3)
    end(beside, "the replay beside", detail=place.said)
    return begun


def main():
    place = Place(FRESHET)
    place.write_config(("simulate: {", "simulate: {rate: 1, start: \"${START_MS:-0}\", finish: false, "), ("publish_interval: 2s", "publish_interval: 200ms"))
    place.server("start", "redis")
    simulate(place, 1)
    refused(place, 1, "there is no replay `faults.replay` to hand over: begin one with `--beside`", "--handover")
    live = place.start("run")
    wait_for(lambda: manifest(place)[1] >= 1, "a version is live", 60)
    first = manifest(place)
    service, scoring = serve(place)
    backfilled(place)
    done = place.run("replay", "--handover")
    expect(done.returncode == 5 and "task `faults.trainer`: could not lock" in done.stderr.splitlines()[-1],
           "a handover while the daemon runs is refused", done.stderr[-1000:])
    end(live, "the live daemon")
    refused_start(place)
    done = place.run("replay", "--handover")
    expect(done.returncode == 0 and "handed over" in done.stdout, "the handover", done.stderr[-2000:])
    live = place.start("run")
    simulate(place, 4)
    wait_for(lambda: manifest(place)[0] != first[0], "the new lineage is in Redis", 60)
    end(live, "the daemon of the new lineage", detail=place.said)
    last = place.run("run", "--finish", "--report", f"{place.work}/last.json")
    expect(last.returncode == 0, "all is read to its end", last.stderr[-2000:])
    check = place.run("score", "--verify", "500")
    expect(check.returncode == 0 and json.loads(check.stdout)["largest_difference"] <= 1e-6,
           "Redis holds the trainer's model", check.stdout + check.stderr[-1000:])
    wait_for(lambda: scoring.answers[-1][0] == manifest(place)[1], "the service has the newest version", 60)
    scoring.stopped = True
    scoring.join()
    end(service, "the service")
    scoring.check()
    whole = place.run("replay", "--as", "whole")
    learnt = {task.split(".", 1)[1]: account["read"] for (task, source), account in accounts(last.stdout).items()
              if source in ("impressions", "clicks", "conversions", "examples")}
    wanted = {task.split(".", 2)[2]: account["read"] for (task, source), account in accounts(whole.stdout).items()
              if source in ("impressions", "clicks", "conversions", "examples")}
    expect(learnt == wanted, "every event is learnt once", f"{learnt}\n{wanted}")
    refused(place, 6, "it was begun without `--beside`", "--handover", "--as", "whole")
    refused(place, 2, "--to does not fit", "--beside", "--to", "2024-01-01")
    place.close()
    finish()


def refused_start(place):
    marker = f"{place.work}/state/faults.handover"
    with open(marker, "w") as text:
        text.write("faults.replay")
    done = place.run("train")
    expect(done.returncode == 6 and "a handover to `faults` was begun and not ended" in done.stderr,
           "until it is done again, daemons refuse to start", done.stderr[-500:])


main()
