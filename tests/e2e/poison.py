#!/usr/bin/env python3
"""A poisoned stream: the gate holds the bad versions, says so, and rollback restores the scores.

usage: poison.py FRESHET     real daemons, a real Redis

Clicks as they are, then each turned into its opposite, then as they are again. What is promised of
this stream stands in docs/operations.md, section gate_closed.
"""
import json
import os
import sys
import time

from place import Place, expect, finish, wait_for

FRESHET = os.path.abspath(sys.argv[1])
LABELS = 2000          # trainer.gate.labels
NOTICED_WITHIN = 1000  # poisoned labels: half of the gate's, as promised
LEARNT = 11000         # labels after which the model is good enough for the bounds
CLEAN, POISONED, RECOVERY = 22000, 8500, 17000
HOUR_MS = 3600000
START_MS = 1700000000000
GATE = f"""  gate:
    labels: {LABELS}
    bounds:
      - {{task: click, auc_min: 0.6, auc_drop_max: 0.05, calibration_min: 0.6, calibration_max: 1.6}}
"""
MODEL = """  sharing: mmoe
  experts: 4
  expert_layers: [128, 64]
  tower_layers: [32]
  wide: true
"""


def configure(place):
    place.write_config((MODEL, "  sharing: shared_bottom\n  expert_layers: [16]\n  tower_layers: [8]\n  wide: true\n"),
                       ("  publish_interval: 2s\n", "  publish_interval: 3ms\n  slice_bits: 2\n" + GATE),
                       ("simulate: {partitions: 2}",
                        "simulate: {partitions: 2, users: 500, items: 200, start: \"${START}\", finish: \"${FINISH}\", "
                        "seed: \"${SEED}\", poison_for: \"${POISON}\"}"),
                       ("  listen: ${FRESHET_LISTEN:-127.0.0.1:9464}", "  listen: ${FRESHET_LISTEN}\n  sample_interval: 1s"),
                       ("  runner: {order: event_time}\n\npublisher:",
                        "  runner: {order: event_time, tick_interval: 3ms, batch_records: 150}\n\npublisher:"))


def simulate(place, chunk, count, finish="false", poison="0s"):
    """Chunks are an hour of event time apart: the first records of one close all windows of that before."""
    place.environment.update(START=str(START_MS + chunk * HOUR_MS), FINISH=finish, SEED=str(7 + chunk), POISON=poison)
    done = place.run("simulate", "--impressions", str(count))
    expect(done.returncode == 0, "simulate", done.stderr)


def versions(place):
    done = place.run("versions", "--json", "--last", "100000")
    expect(done.returncode == 0, "versions", done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def out(place):
    return next((one["version"] for one in versions(place) if one["out"]), 0)


def scores(place):
    """(version, probabilities) of rows that never change."""
    rows = "".join(json.dumps({"user_id": f"u{i % 40}", "item_id": f"i{i % 23}", "domain": f"d{i % 4}",
                               "group": f"g{i % 20}", "category": f"c{i % 50}", "hour": "h3", "quality": i / 50}) + "\n"
                   for i in range(50))
    done = place.run("score", input=rows)
    expect(done.returncode == 0, "score", done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[0]["version"], [{key: value for key, value in line.items() if key != "version"} for line in lines]


def measured(version):
    return next(task["all"]["ever"]["count"] for task in version["measures"]["tasks"] if task["task"] == "click")


def metric(place, name):
    for line in place.get("/metrics")[1].splitlines():
        if line.startswith(name + " ") or line.startswith(name + "{"):
            return float(line.rsplit(" ", 1)[1])
    return None


def quiet(place):
    """Until all is folded but what waits in queues for later events."""
    wait_for(lambda: metric(place, "freshet_trainer_records_total") and
             metric(place, "freshet_trainer_lag_records") == 0, "examples are read", 60)
    wait_for(lambda: metric(place, "freshet_publisher_records_total"), "versions are read")
    seen = -1
    while seen != (seen := metric(place, "freshet_publisher_records_total")):
        time.sleep(0.7)


def clean(place):
    """A stream that stays: no false alarm, and scores to come back to."""
    simulate(place, 0, CLEAN)
    process = place.start("run")
    quiet(place)
    found = versions(place)
    judged = [one for one in found if measured(one) >= LEARNT]
    expect(len(judged) > 10 and measured(found[-1]) > CLEAN * .6, "many versions of the clean stream", len(judged))
    expect(all(one["passed"] for one in judged), "no false alarm on a clean stream",
           [(measured(one), one["reason"]) for one in judged if not one["passed"]])
    print(f"clean: {len(judged)} versions from label {LEARNT} to {measured(found[-1])}, no false alarm")
    wait_for(lambda: out(place) == found[-1]["version"], "the newest version is out")
    return process, *scores(place)


def poisoned(place, good):
    simulate(place, 1, POISONED, poison="1h")
    wait_for(lambda: metric(place, "freshet_publisher_held_versions"), "versions are held", 60)
    wait_for(lambda: metric(place, 'freshet_trainer_gate_closed{task="click"}'), "the trainer's gate is closed")
    wait_for(lambda: metric(place, 'freshet_alarm_firing{alarm="gate_closed"}'), "the alarm sounds")
    quiet(place)
    found = [one for one in versions(place) if one["version"] > good]
    held = [measured(one) - CLEAN for one in found if not one["passed"]]
    passed = [measured(one) - CLEAN for one in found if one["passed"]]
    print(f"poisoned: {len(passed)} versions passed, the last with {passed[-1:]} poisoned labels measured; "
          f"{len(held)} held from {held[0]} on")
    expect(all(labels <= NOTICED_WITHIN for labels in passed), "no version beyond the promised number passes", passed)
    expect(held[0] > 0 and held[-1] > NOTICED_WITHIN, "and the clean labels before it held none", held[:3])
    first = next(one for one in found if not one["passed"])
    expect(first["reason"] and first["reason"] in place.log(), "the log says why", first["reason"])
    wait_for(lambda: out(place) == max([good] + [one["version"] for one in found if one["passed"]]),
             "the newest version that passed is out")
    top = place.run("top", "--once", config=f"127.0.0.1:{place.port()}")
    expect("gate_closed" in top.stdout and "held back" in top.stdout, "top says it", top.stdout + top.stderr)


def rolled_back(place, good, wanted):
    done = place.run("rollback", str(good), "--note", "poisoned clicks")
    expect(done.returncode == 0 and f"pinned version {good}" in done.stdout, "rollback", done.stderr)
    wait_for(lambda: out(place) == good, "the version before the poison is out")
    version, found = scores(place)
    expect(version == good and found == wanted, "rollback restores the scores", found[:2])
    expect('note="poisoned clicks"' in place.log(), "the publishers' log has the note")
    pinned = [one["version"] for one in versions(place) if one["pinned"]]
    expect(pinned == [good], "versions tells the pin", pinned)


def recovered(place, process, good):
    """Labels as they are again: what passes brings all that was held, once nothing is pinned."""
    done = place.run("unpin")
    expect(done.returncode == 0, "unpin", done.stderr)
    simulate(place, 2, RECOVERY, finish="true")
    expect(process.wait(120) == 0, "the daemon ends by itself", place.log())
    found = versions(place)
    expect(found[-1]["passed"] and found[-1]["out"], "the newest version passes and is out again", found[-1]["reason"])
    expect(scores(place)[0] == found[-1]["version"], "and it is what scorers read")


def refused(place):
    for words, wanted in ((("rollback", "999999"), "does not hold that version"), (("pin", "0"), "VERSION")):
        done = place.run(*words)
        expect(done.returncode != 0 and wanted in done.stderr and done.stderr.count("\n") == 1,
               f"{words} is refused in one line", done.stderr)


def main():
    place = Place(FRESHET)
    configure(place)
    place.server("start", "redis")
    process, good, wanted = clean(place)
    poisoned(place, good)
    rolled_back(place, good, wanted)
    refused(place)
    recovered(place, process, good)
    place.close()
    finish()


main()
