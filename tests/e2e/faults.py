#!/usr/bin/env python3
"""What a user sees when something is wrong: one clear line, the right exit code, and nothing lost.

usage: faults.py FRESHET     runs real daemons against a real Redis and a real Kafka of its own
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

FRESHET = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(HERE, "config/simulated.yaml")
IMPRESSIONS = 4000
failures = []


class Place:
    """A folder with its own logs, state and servers."""

    def __init__(self, backend="files"):
        self.work = tempfile.mkdtemp(prefix="faults.")
        self.ports = {}
        self.environment = dict(os.environ, FRESHET_BACKEND=backend, FRESHET_DIRECTORY=self.work,
                                FRESHET_REDIS_PORT="1", FRESHET_BROKERS="127.0.0.1:1",
                                FRESHET_LISTEN="127.0.0.1:0", FRESHET_NAME="faults")

    def server(self, verb, name):
        """Starts a server on the port it had before, or a free one; or stops it."""
        command = [f"{HERE}/scripts/{name}", verb, f"{self.work}/{name}"]
        if verb == "start" and name in self.ports:
            command.append(self.ports[name])
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if verb == "start":
            address = open(f"{self.work}/{name}/address").read().strip()
            self.ports[name] = address.rsplit(":", 1)[1]
            self.environment["FRESHET_REDIS_PORT" if name == "redis" else "FRESHET_BROKERS"] = (
                self.ports[name] if name == "redis" else address)

    def run(self, *words, config=CONFIG, timeout=120):
        return subprocess.run([FRESHET, words[0], config, *words[1:]], env=self.environment, cwd=HERE,
                              capture_output=True, text=True, timeout=timeout)

    def start(self, *words):
        log = open(os.path.join(self.work, "daemon.log"), "ab")
        return subprocess.Popen([FRESHET, words[0], CONFIG, *words[1:]], env=self.environment, cwd=HERE,
                                stdout=open(os.path.join(self.work, "daemon.out"), "wb"), stderr=log)

    def log(self):
        with open(os.path.join(self.work, "daemon.log")) as text:
            return text.read()

    def close(self):
        for name in list(self.ports):
            subprocess.run([f"{HERE}/scripts/{name}", "stop", f"{self.work}/{name}"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)


def expect(condition, what, detail=""):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what}\n{detail[-2000:]}", file=sys.stderr)


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    expect(False, f"{what} within {seconds} s")
    return False


def scores(place):
    """Without the version's number, which counts ticks of the clock."""
    done = place.run("score", "--from-log", "20")
    expect(done.returncode == 0, "scores can be had", done.stderr)
    lines = done.stdout.splitlines()
    return [line[: line.index(',"version"')] for line in lines]


def accounts(text):
    """Of ingest and trainer: the publisher reads again what a lost Redis makes it read."""
    return sorted(line for line in text.splitlines()
                  if line.startswith("account ") and ".publisher " not in line)


def reference():
    """What an undisturbed run over the same events ends with."""
    place = Place()
    place.server("start", "redis")
    simulated = place.run("simulate", "--impressions", str(IMPRESSIONS))
    expect(simulated.returncode == 0, "simulate succeeds", simulated.stderr)
    report = os.path.join(place.work, "report.json")
    done = place.run("run", "--finish", "--report", report)
    expect(done.returncode == 0, "an undisturbed run succeeds", done.stderr)
    result = (accounts(done.stdout), open(report).read(), scores(place))
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
    with open(os.path.join(place.work, "daemon.out")) as out:
        expect(accounts(out.read()) == wanted[0], f"{what}: the same accounts", place.log())
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
    place = Place()
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
    place = Place("kafka")
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


def full_disk():
    if os.geteuid() != 0:
        print("full disk: skipped, mounting a small file system needs root")
        return
    place = Place()
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
    finally:
        subprocess.run(["umount", small], check=True)
        place.close()


def mistakes():
    place = Place()
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
    place = Place()
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
    full_disk()
    redis_down(wanted)
    kafka_down(wanted)
    print(f"{len(failures)} failures" if failures else "all as promised")
    sys.exit(1 if failures else 0)


main()
