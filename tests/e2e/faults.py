#!/usr/bin/env python3
"""What a user sees when something is wrong: one clear line, the right exit code, and nothing lost.

usage: faults.py FRESHET IO_ERROR     real daemons, a real Redis and a real Kafka of its own;
                                      IO_ERROR: io_error.c as a library to preload
"""
import os
import shutil
import subprocess
import sys

from place import CONFIG, Place, expect, finish, wait_for

FRESHET, IO_ERROR = map(os.path.abspath, sys.argv[1:3])
IMPRESSIONS = 4000


def scores(place):
    """Without the version's number, which counts ticks of the clock."""
    done = place.run("score", "--from-log", "20")
    expect(done.returncode == 0, "scores can be had", done.stderr)
    lines = done.stdout.splitlines()
    return [line[: line.index(',"version"')] for line in lines]


def account_lines(text):
    """Of ingest and trainer: the publisher reads again what a lost Redis makes it read."""
    return sorted(line for line in text.splitlines()
                  if line.startswith("account ") and ".publisher " not in line)


def reference():
    """What an undisturbed run over the same events ends with."""
    place = Place(FRESHET)
    place.server("start", "redis")
    simulated = place.run("simulate", "--impressions", str(IMPRESSIONS))
    expect(simulated.returncode == 0, "simulate succeeds", simulated.stderr)
    report = os.path.join(place.work, "report.json")
    done = place.run("run", "--finish", "--report", report)
    expect(done.returncode == 0, "an undisturbed run succeeds", done.stderr)
    result = (account_lines(done.stdout), open(report).read(), scores(place))
    place.close()
    return result


def finish_like(place, process, wanted, what):
    """The daemon must end by itself, with the reference's accounts, measures, model and scores."""
    try:
        code = process.wait(90)
    except subprocess.TimeoutExpired:
        process.kill()
        expect(False, f"{what}: ends by itself", place.log())
        return
    expect(code == 0, f"{what}: exit code 0, not {code}", place.log())
    expect(account_lines(place.out()) == wanted[0], f"{what}: the same accounts", place.log())
    with open(os.path.join(place.work, "report.json")) as report:
        expect(report.read() == wanted[1], f"{what}: the same measures and model")
    found = scores(place)
    expect(found == wanted[2], f"{what}: the same scores", f"{found}\n{wanted[2]}\n{place.log()}")


def again_if_ended(place, process):
    """On a fast machine the run may be over before the fault: then another start meets it."""
    if process.poll() is None:
        return process
    return place.start("run", "--finish", "--report", os.path.join(place.work, "report.json"))


def redis_down(wanted):
    place = Place(FRESHET)
    place.server("start", "redis")
    expect(place.run("simulate", "--impressions", str(IMPRESSIONS)).returncode == 0, "simulate")
    place.server("stop", "redis")
    process = place.start("run", "--finish", "--report", os.path.join(place.work, "report.json"))
    wait_for(lambda: "could not connect to Redis" in place.log(), "Redis down at start is said")
    place.server("start", "redis")
    wait_for(lambda: "event=version" in place.log() or process.poll() is not None, "a version goes out")
    place.server("stop", "redis")
    place.server("start", "redis")  # empty again
    process = again_if_ended(place, process)
    finish_like(place, process, wanted, "Redis down at start and half-way")
    place.close()


def kafka_down(wanted):
    place = Place(FRESHET, "kafka")
    place.write_config(("kafka: {brokers:", "kafka: {timeout: 5s, brokers:"))
    place.server("start", "redis")
    place.server("start", "kafka")
    expect(place.run("simulate", "--impressions", str(IMPRESSIONS)).returncode == 0, "simulate to Kafka")
    place.server("stop", "kafka")
    process = place.start("run", "--finish", "--report", os.path.join(place.work, "report.json"))
    wait_for(lambda: "event=waiting" in place.log(), "Kafka down at start is said", 60)
    place.server("start", "kafka")
    wait_for(lambda: "event=version" in place.log() or process.poll() is not None, "a version goes out", 60)
    place.server("stop", "kafka")
    place.server("start", "kafka")
    process = again_if_ended(place, process)
    finish_like(place, process, wanted, "Kafka down at start and half-way")
    place.close()


def failing_disk(wanted):
    """I/O errors that are no full disk: the daemon stops with one clear line; the next start goes on."""
    place = Place(FRESHET)
    place.server("start", "redis")
    expect(place.run("simulate", "--impressions", str(IMPRESSIONS)).returncode == 0, "simulate")
    words = ("run", "--finish", "--report", os.path.join(place.work, "report.json"))
    for part, after in ((".examples", 1), ("ingest-0", 2), (".trainer", 2)):
        process = place.start(*words, environment={
            "LD_PRELOAD": IO_ERROR, "ASAN_OPTIONS": "verify_asan_link_order=0",
            "FRESHET_IO_ERROR_PATH": part, "FRESHET_IO_ERROR_AFTER": str(after)})
        code = process.wait(60)
        text = place.log().splitlines()[-1]
        expect(code == 1, f"a disk that fails at {part}: exit code 1, not {code}", place.log())
        expect(text.startswith("freshet: ") and part in text and "Input/output error" in text,
               f"a disk that fails at {part} is named in the last line", place.log())
    process = place.start(*words)
    finish_like(place, process, wanted, "a disk that failed")
    place.close()


def full_disk(wanted):
    if os.geteuid() != 0:
        print("full disk: skipped, mounting a small file system needs root")
        return
    place = Place(FRESHET)
    place.server("start", "redis")
    small = os.path.join(place.work, "small")
    os.mkdir(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small]).returncode != 0:
        print("full disk: skipped, no tmpfs can be mounted here")
        place.close()
        return
    try:
        place.environment["FRESHET_DIRECTORY"] = small
        done = place.run("simulate", "--impressions", "200000")
        expect(done.returncode == 1 and "No space left on device" in done.stderr,
               "a full disk is named", done.stderr)
        expect(len(done.stderr.strip().splitlines()) == 1, "a full disk takes one line", done.stderr)
        for name in os.listdir(small):
            shutil.rmtree(os.path.join(small, name))
        expect(place.run("simulate", "--impressions", str(IMPRESSIONS)).returncode == 0, "simulate")
        words = ("run", "--finish", "--report", os.path.join(place.work, "report.json"))
        code = place.start(*words).wait(60)
        text = place.log().splitlines()[-1]
        expect(code == 1 and "No space left on device" in text and small in text,
               "a disk that fills up under a daemon is named in the last line", place.log())
        subprocess.run(["mount", "-o", "remount,size=500m", small], check=True)
        finish_like(place, place.start(*words), wanted, "a disk that was full")
    finally:
        subprocess.run(["umount", small], check=True)
        place.close()


def mistakes():
    place = Place(FRESHET)
    bad = os.path.join(place.work, "bad.yaml")

    def run_with(old, new, *words):
        with open(CONFIG) as good, open(bad, "w") as text:
            content = good.read()
            assert old in content, old
            text.write(content.replace(old, new, 1))
        return place.run(*words, config=bad)

    cases = [
        ("window: 60s", "window: 60", ("run",), 3, "a duration within"),
        ("batch_rows", "bach_rows", ("run",), 3, "did you mean `batch_rows`?"),
        ("lanes: 2", "lanes: 7", ("check",), 3, "lanes"),
        ("given: click", "given: klick", ("run",), 3, "there is no task 'klick'"),
        ("path: categorical.group", "path: categorical.", ("check",), 3, "empty segment"),
        ("time: event_time", "time: event_tim", ("run",), 3, "event_tim"),
        ("schemas/impression.avsc", "schemas/none.avsc", ("run",), None, "schemas/none.avsc"),
        ("backend: ${FRESHET_BACKEND:-files}", "backend: paper", ("run",), 3, "one of files"),
    ]
    expect(place.run("simulate", "--impressions", "200").returncode == 0, "simulate for mistakes")
    for old, new, words, code, message in cases:
        done = run_with(old, new, *words)
        text = done.stderr + done.stdout
        expect(done.returncode == code if code else done.returncode != 0,
               f"{new}: exit code {code}, found {done.returncode}", text)
        expect(message in text, f"{new}: says '{message}'", text)
    place.close()


def topics():
    place = Place(FRESHET)
    place.server("start", "redis")
    done = place.run("run", "--finish")
    expect(done.returncode == 1 and "impressions" in done.stderr, "a missing topic is named", done.stderr)
    expect(place.run("simulate", "--impressions", "500").returncode == 0, "simulate for topics")
    bad = os.path.join(place.work, "bad.yaml")
    with open(CONFIG) as good, open(bad, "w") as text:
        text.write(good.read().replace("simulate: {partitions: 2", "simulate: {partitions: 3, impressions: "
                                       "other-impressions, clicks: other-clicks, conversions: other-conversions")
                   .replace("topic: clicks", "topic: other-clicks"))
    expect(place.run("simulate", "--impressions", "500", config=bad).returncode == 0, "simulate others")
    done = place.run("run", "--finish", config=bad)
    expect(done.returncode == 3 and "other-clicks" in done.stderr and "2 and 3 partitions" in done.stderr,
           "topics of other partition counts are refused, named", done.stderr)
    place.close()


def main():
    wanted = reference()
    mistakes()
    topics()
    failing_disk(wanted)
    full_disk(wanted)
    redis_down(wanted)
    kafka_down(wanted)
    finish()


main()
