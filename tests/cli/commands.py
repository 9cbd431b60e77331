#!/usr/bin/env python3
"""Each command as its user meets it: help, wrong arguments, exit codes, progress, SIGTERM, accounts.

usage: commands.py FRESHET LOG_PUT
"""
import json
import os
import pty
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from place import (CONFIG, HERE, Place, accounts, avro_click, avro_impression, end, expect,  # noqa: E402
                   finish, wait_for)

FRESHET, LOG_PUT = map(os.path.abspath, sys.argv[1:3])
COMMANDS = ("run", "ingest", "train", "publish", "score", "simulate", "load", "inspect", "check", "options", "serve", "replay",
            "rewind", "versions", "rollback", "pin", "unpin")
START = 1700000000000


def freshet(*words, **more):
    return subprocess.run([FRESHET, *words], capture_output=True, text=True, timeout=60, cwd=HERE, **more)


def usage():
    done = freshet()
    expect(done.returncode == 2 and "usage: freshet COMMAND" in done.stderr, "no command is a usage mistake")
    done = freshet("--help")
    listed = re.findall(r"^  (\w+) ", done.stdout, re.MULTILINE)
    expect(done.returncode == 0 and set(COMMANDS) <= set(listed), "--help lists every command", done.stdout)
    for word in ("exit codes: 0 done", "7 interrupted"):
        expect(word in done.stdout, f"--help tells: {word}", done.stdout)
    done = freshet("--version")
    expect(done.returncode == 0 and re.fullmatch(r"freshet \d+\.\d+\.\d+\n", done.stdout), "--version", done.stdout)
    done = freshet("lern", CONFIG)
    expect(done.returncode == 2 and "no such command: lern" in done.stderr, "an unknown command is named")


def help_and_wrong_arguments(command):
    done = freshet(command, "--help")
    first, _, *rest = done.stdout.split("\n")
    expect(done.returncode == 0 and first.startswith(f"freshet {command}: "), f"{command} --help", done.stdout)
    expect(f"usage: freshet {command}" in done.stdout and len(rest) >= 3, f"{command} --help has a body")
    expect(max(map(len, done.stdout.split("\n"))) <= 100, f"{command} --help fits a terminal", done.stdout)
    synopsis = re.search(r"^usage: .*$", done.stdout, re.MULTILINE).group()
    for option in set(re.findall(r"--[a-z-]+", done.stdout)):
        expect(re.search(rf"^  {option}\b", done.stdout, re.MULTILINE) or command != "inspect" and option in synopsis,
               f"{command} --help explains {option}", done.stdout)
    done = freshet(command, *([] if command == "options" else [CONFIG]), "--nonsense")
    expect(done.returncode == 2 and "unknown option --nonsense" in done.stderr and "usage: freshet" in done.stderr,
           f"{command}: an unknown option is named", done.stderr)
    done = freshet(command, *["surplus"] * 5)
    expect(done.returncode == 2 and "unexpected argument surplus" in done.stderr,
           f"{command}: a surplus argument is named", done.stderr)
    if command == "options":
        return
    done = freshet(command)
    expect(done.returncode == 2 and "an argument is missing" in done.stderr,
           f"{command}: a missing argument is said", done.stderr)
    more = ["log", "x"] if command == "inspect" else []
    done = freshet(command, "none.yaml", *more)
    expect(done.returncode == 3 and "none.yaml" in done.stderr and len(done.stderr.splitlines()) == 1,
           f"{command}: a missing configuration is named", done.stderr)


def wrong_values():
    for words, message in (
            (("run", CONFIG, "--threads", "many"), "--threads: expected a whole number within 1 and 256, found 'many'"),
            (("train", CONFIG, "--threads=0"), "--threads: expected a whole number"),
            (("publish", CONFIG, "--threads", "2"), "unknown option --threads"),
            (("run", CONFIG, "--tasks", "0"), "unknown option --tasks"),
            (("ingest", CONFIG, "--tasks", "3-1"), "--tasks: expected a whole number within 3"),
            (("ingest", CONFIG, "--tasks"), "a value is missing behind --tasks"),
            (("ingest", CONFIG, "--report", "x"), "unknown option --report"),
            (("run", CONFIG, "--finish=yes"), "takes no value: --finish"),
            (("score", CONFIG, "--from-log", "0"), "--from-log: expected"),
            (("simulate", CONFIG, "--seed", "-1"), "--seed: expected"),
            (("load", CONFIG, "--rows", "1e3"), "--rows: expected"),
            (("inspect", CONFIG, "log", "x", "--partition", "p"), "--partition: expected")):
        done = freshet(*words)
        expect(done.returncode == 2 and message in done.stderr, f"{' '.join(words)}: says '{message}'", done.stderr)


def away():
    """Servers that are not there: what check and score say at once; daemons wait (tests/e2e)."""
    place = Place(FRESHET)
    done = place.run("score", "--from-log", "1")
    expect(done.returncode == 4 and "127.0.0.1:1" in done.stderr and len(done.stderr.splitlines()) == 1,
           "score names the Redis that it cannot reach", done.stderr)
    done = place.run("inspect", "redis")
    expect(done.returncode == 4 and "127.0.0.1:1" in done.stderr, "inspect names the Redis", done.stderr)
    done = place.run("check")
    expect(done.returncode != 0 and re.search(r"^away  Redis: .*127\.0\.0\.1:1", done.stdout, re.MULTILINE),
           "check says which server is away", done.stdout)
    place.environment.update(FRESHET_BACKEND="kafka")
    place.write_config(("kafka: {brokers:", "kafka: {timeout: 1s, brokers:"))
    for words in (("simulate",), ("load", f"{HERE}/tests"), ("inspect", "log", "impressions")):
        done = place.run(*words)
        expect(done.returncode == 4 and "127.0.0.1:1" in done.stderr, f"{words[0]} names the Kafka", done.stderr)
    done = place.run("check")
    expect(re.search(r"^away  the log.*127\.0\.0\.1:1", done.stdout, re.MULTILINE), "check names the Kafka",
           done.stdout)
    place.close()


def progress(place):
    """On a terminal, and only there, long work shows how far it is."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen([FRESHET, "simulate", place.config, "--impressions", "20000"], cwd=HERE,
                            env=dict(place.environment, FRESHET_DIRECTORY=place.work + "/progress"),
                            stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    text = done.communicate()[0]
    expect(done.returncode == 0 and re.search(rb"simulate: \d+ of 20000 \(\d+ %\)", shown),
           "simulate shows its progress on a terminal", shown)
    expect("simulated 20000 impressions" in text and "%)\n" in text, "simulate tells what it wrote", text)


def simulate_stops(place):
    process = place.start("simulate", "--impressions", "50000000")
    time.sleep(0.5)
    end(process, "simulate", code=7, detail=place.log)
    expect("stopped" in place.log(), "simulate says that it was stopped", place.log())


def daemons(place):
    """Each daemon over inputs without an end: SIGTERM brings checkpoint, accounts and code 0, soon."""
    names = [f"p{i}" for i in range(300)]
    put = lambda topic, value: place.put(LOG_PUT, topic, 1, [  # noqa: E731
        f"0 {START + i} {name.encode().hex()} {value(name, START + i).hex()}" for i, name in enumerate(names)])
    put("impressions", avro_impression)
    put("clicks", avro_click)
    place.put(LOG_PUT, "conversions", 1, [])
    for daemon, task, live in (("ingest", "ingest-0", "stage=ingest event=recovered"),
                               ("train", "trainer", "stage=trainer event=recovered"),
                               ("publish", "publisher", "stage=publisher event=recovered"),
                               ("run", "trainer", "stage=publisher event=recovered")):
        process = place.start(daemon)
        wait_for(lambda: live in place.said(), f"{daemon} is live")
        wait_for(lambda: place.get("/readyz") == (200, "ready\n"), f"{daemon} is ready")
        expect(place.get("/healthz") == (200, "ok\n"), f"{daemon} is well")
        if daemon == "ingest":
            wait_for(lambda: re.search(r'freshet_ingest_records_total\{.*impressions.*\} 300', place.get("/metrics")[1]),
                     "ingest has read")
        took = end(process, daemon, seconds=20, detail=place.log)
        expect(took and took < 10, f"{daemon} stops soon: {took} s", place.log())
        found = accounts(place.out())
        expect(any(name.endswith(task) for name, _ in found), f"{daemon} prints its accounts", place.out())
        if daemon in ("ingest", "train"):
            lines = place.inspect("checkpoint", f"faults.{task}")
            expect(lines and all(line.get("valid", True) for line in lines), f"{daemon} leaves a checkpoint", lines)
        if daemon == "ingest":
            account = found["faults.ingest-0", "impressions"]
            expect(account["read"] == 300 and account["used"] + account["in_flight"] == 300,
                   "ingest accounts for every impression", account)
    process = place.start("train", "--finish")
    wait_for(lambda: place.get("/readyz")[0] == 200, "train is ready")
    end(process, "train --finish", code=7, detail=place.log)


def finished(place):
    """A whole run, then every way to look at it."""
    expect(place.run("simulate", "--impressions", "3000").returncode == 0, "simulate")
    report = os.path.join(place.work, "report.json")
    done = place.run("run", "--finish", "--threads=2", "--report", report)
    expect(done.returncode == 0, "run --finish", done.stderr)
    expect(len(accounts(done.stdout)) == 11 and re.search(r"^task +domain +labels", done.stdout, re.MULTILINE),
           "run prints accounts and measures", done.stdout)
    with open(report) as text:
        tasks = json.load(text)["measures"]["tasks"]
    expect([task["task"] for task in tasks] == ["click", "buy"], "the report has the tasks", tasks)
    done = place.run("check")
    expect(done.returncode == 0 and all(line.startswith("ok") for line in done.stdout.splitlines()),
           "check is content", done.stdout)
    done = place.run("check", "--print")
    expect("trainer.learner.batch_rows = 64" in done.stdout, "check --print shows settings", done.stdout)
    inspect(place)
    score(place)


def inspect(place):
    lines = place.inspect("log", "impressions", "--count", "3", "--partition", "1")
    expect(len(lines) == 3 and all(line["partition"] == 1 for line in lines), "inspect log", lines)
    lines = place.inspect("log", "faults.examples", "--from", "5", "--count", "2")
    expect([line["offset"] for line in lines] == [5, 6, 5, 6], "inspect log --from", lines)
    for words in (("journal", "faults.trainer"), ("checkpoint", "faults.ingest-1"), ("redis",)):
        expect(place.inspect(*words), f"inspect {' '.join(words)} prints lines")
    for words, code, message in ((("log", "nothing"), 1, "nothing"),
                                 (("log", "impressions", "--partition", "9"), 3, "impressions has 2"),
                                 (("journal", "nobody"), None, "nobody"),
                                 (("checkpoint", "nobody"), None, "nobody"),
                                 (("redis", "x"), 2, "expected log TOPIC"),
                                 (("paper",), 2, "expected log TOPIC")):
        done = place.run("inspect", *words)
        expect(done.returncode == code if code else done.returncode != 0,
               f"inspect {' '.join(words)}: exit code {code}, not {done.returncode}", done.stderr)
        expect(message in done.stderr, f"inspect {' '.join(words)}: says '{message}'", done.stderr)


def score(place):
    good = '{"user_id": "u1", "item_id": "i7", "domain": "d0", "quality": 0.25}\n'
    done = place.run("score", input=good * 2 + "{}\n")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expect(done.returncode == 0 and len(lines) == 3 and lines[0] == lines[1], "score reads lines", done.stderr)
    expect(all(0 < line["click"] < 1 and 0 < line["buy"] < 1 and line["version"] > 0 for line in lines),
           "score writes a probability a task", done.stdout)
    for text, message in (("nonsense\n", "line 1"), (good + '{"colour": 1}\n', "line 2"),
                          ('{"quality": "high"}\n', "quality"), ("[1]\n", "line 1")):
        done = place.run("score", input=text)
        expect(done.returncode != 0 and message in done.stderr and len(done.stderr.splitlines()) == 1,
               f"score says what is wrong with {text!r}", done.stderr)
    done = place.run("score", "--verify", "500")
    expect(json.loads(done.stdout)["largest_difference"] <= 1e-6, "score --verify", done.stdout + done.stderr)


def load(place):
    done = place.run("load", place.work)
    expect(done.returncode == 1 and "log_standard" in done.stderr and len(done.stderr.splitlines()) == 1,
           "load names the file that is missing", done.stderr)


def main():
    usage()
    for command in COMMANDS:
        help_and_wrong_arguments(command)
    wrong_values()
    away()
    place = Place(FRESHET)
    place.server("start", "redis")
    finished(place)
    load(place)
    progress(place)
    place.environment["FRESHET_DIRECTORY"] = place.work + "/stopped"
    simulate_stops(place)
    place.close()
    place = Place(FRESHET)
    place.write_config(("  runner: {order: event_time}\n\nmodel", "  runner: {idle_timeout: 100ms}\n\nmodel"),
                       ("  runner: {order: event_time}\n\npublisher", "\npublisher"))
    place.server("start", "redis")
    daemons(place)
    place.close()
    finish()


main()
