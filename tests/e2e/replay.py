#!/usr/bin/env python3
"""Replays: the same bits from files and from Kafka, on one and two threads, killed or not; and what is refused.

usage: replay.py FRESHET     a real Kafka
"""
import glob
import os
import signal
import sys
import time

from place import Place, accounts, expect, finish, wait_for

FRESHET = os.path.abspath(sys.argv[1])
IMPRESSIONS = "2500"
START = 1704067200000  # simulate.start
# At 100 impressions a second: 2,500 stand in 25 s, their clicks and purchases behind them.
FROM, TO = "2024-01-01T00:00:05", "2024-01-01T00:00:20"


def loaded(backend="files", *changes):
    place = Place(FRESHET, backend)
    place.write_config(("simulate: {", f"simulate: {{start: {START}, "), *changes)
    if backend == "kafka":
        place.server("start", "kafka")
    done = place.run("simulate", "--impressions", IMPRESSIONS)
    expect(done.returncode == 0, "simulate", done.stderr)
    return place


def stretch(place, label, *words, times=("--from", FROM, "--to", TO)):
    """(report, account lines) of a replay."""
    report = os.path.join(place.work, f"{label}.json")
    done = place.run("replay", *times, "--as", label, "--report", report, *words)
    expect(done.returncode == 0, f"replay {label}", done.stderr)
    expect("records in" in done.stdout and "a second" in done.stdout, "a replay tells its rate", done.stdout)
    with open(report) as text:
        return text.read(), account_lines(done.stdout, label)


def account_lines(text, label):
    accounts(text)
    return sorted(line.replace(f".{label}", "") for line in text.splitlines() if line.startswith("account "))


def killed(place):
    """kill -9 at some moments, then to the end."""
    words = ("--from", FROM, "--to", TO, "--as", "killed", "--report", f"{place.work}/killed.json")
    for delay in (0.3, 0.7, 0.5):
        process = place.start("replay", *words)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = place.start("replay", *words)
    wait_for(lambda: process.poll() is not None or "event=recovered" in place.said(), "the replay goes on")
    code = process.poll()
    if code is None:
        process.terminate()  # and an orderly stop as well
        code = process.wait(60)
    expect(code in (0, 7), f"a replay that is stopped ends with exit code 7, not {code}", place.said())
    return stretch(place, "killed")


def refusals(place):
    def refused(code, message, *words):
        done = place.run("replay", *words)
        lines = done.stderr.splitlines()
        expect(done.returncode == code and lines and message in lines[-1],
               f"replay {' '.join(words)}: exit code {code} and '{message}'", f"{done.returncode} {done.stderr}")

    refused(2, "--from must be earlier than --to", "--from", TO, "--to", FROM)
    refused(2, "--from: expected a time of day in UTC", "--from", "yesterday")
    refused(2, "--to: expected a time of day in UTC", "--to", "2024-13-01")
    refused(1, "nothing to replay: no input holds a record from 2030-01-01T00:00:00 to newest",
            "--as", "none", "--from", "2030-01-01")
    refused(1, "nothing to replay: no input holds a record from oldest to 1999-01-01T00:00:00",
            "--as", "none", "--to", "1999-01-01")
    refused(6, f"it was begun with `--from {FROM} --to {TO}`", "--as", "one", "--from", FROM)
    place.write_config(("simulate: {", f"simulate: {{start: {START}, "), ("window: 60s", "window: 61s"))
    refused(6, "it was begun with other settings of data, ingest, model or trainer",
            "--as", "one", "--from", FROM, "--to", TO)


def retention():
    place = loaded("files", ("  backend: ", "  segment_size: 8KiB\n  backend: "),
                   ("simulate: {", "simulate: {finish: false, "))
    expect(place.run("simulate", "--impressions", IMPRESSIONS).returncode == 0, "simulate again")
    segments = sorted(glob.glob(f"{place.work}/logs/impressions/0/*.avro"))
    if expect(len(segments) > 1, "several segments", os.listdir(f"{place.work}/logs/impressions/0")):
        os.remove(segments[0])
    done = place.run("replay", "--from", "2024-01-01")
    expect(done.returncode == 6 and "retention has passed that time" in done.stderr
           and "topic `impressions` partition 0" in done.stderr and len(done.stderr.splitlines()) == 1,
           "a time that retention has passed is refused in one line", done.stderr)
    stretch(place, "kept", times=("--from", "oldest"))
    place.close()


def main():
    files = loaded()
    wanted = stretch(files, "one", "--threads", "1")
    expect("read=" in wanted[1][0] and '"fingerprint"' in wanted[0], "a replay reports", wanted)
    expect(stretch(files, "two", "--threads", "2") == wanted, "two threads give the same bits")
    expect(stretch(files, "one", "--threads", "2") == wanted, "one that has ended is still the same")
    expect(killed(files) == wanted, "a killed replay ends as one that was not")
    whole = stretch(files, "whole", times=())
    expect(whole != wanted, "the stretch is a part of the whole")
    refusals(files)
    kafka = loaded("kafka")
    expect(stretch(kafka, "kafka") == wanted, "Kafka gives the same bits as files")
    kafka.close()
    files.close()
    retention()
    finish()


main()
