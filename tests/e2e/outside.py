#!/usr/bin/env python3
"""A running daemon seen from outside: what /metrics, /healthz and /readyz tell, against what was sent.

usage: outside.py FRESHET LOG_PUT
"""
import os
import re
import sys
import time

from place import (Place, accounts, avro_click, avro_impression, avro_string, end, expect, finish,
                   wait_for)

FRESHET, LOG_PUT = map(os.path.abspath, sys.argv[1:3])
IMPRESSIONS, BAD, LAST_MS = 400, 3, 100000


class Metrics:
    """One reading of /metrics, checked for Prometheus's text format as it is read."""

    def __init__(self, place):
        status, text = place.get("/metrics")
        expect(status == 200, "/metrics answers 200", text)
        self.samples, typed = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                expect(name not in typed, f"{name} is typed once", line)
                typed[name] = kind
            elif not line.startswith("#"):
                sample = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)', line)
                if not expect(sample, "a line of /metrics is a sample", line):
                    continue
                name, labels, value = sample.groups()
                family = re.sub(r"_(bucket|sum|count)$", "", name)
                expect(name in typed or family in typed, f"{name} has a type", line)
                self.samples[name, frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))] = float(value)

    def get(self, name, **labels):
        """The sum over all series of this name that have these labels, or None."""
        found = [value for (other, have), value in self.samples.items()
                 if other == name and set(labels.items()) <= have]
        return sum(found) if found else None


def line(partition, time_ms, name, value):
    return f"{partition} {time_ms} {name.encode().hex()} {value.hex()}"


def put(place, begin_ms):
    """Impressions a tenth of a second apart in two domains, clicks on two of five, some bad records.

    Inputs are read in event-time order: the last but one of each closes the windows of all before it,
    the last one lets the others be read.
    """
    impressions, clicks, conversions = [], [], []
    for i in range(IMPRESSIONS):
        name, at = f"p{i}", begin_ms + 100 * i
        impressions.append(line(0, at, name, avro_impression(name, at, user=f"u{i % 7}", item=f"i{i % 5}",
                                                             domain=f"d{i % 2}")))
        if i % 5 < 2:
            clicks.append(line(0, at + 50, name, avro_click(name, at + 50)))
    impressions += [line(0, begin_ms, "bad", b"\x07bad")] * BAD
    for name, at in (("last but one", begin_ms + LAST_MS), ("last", begin_ms + LAST_MS + 1)):
        impressions.append(line(0, at, name, avro_impression(name, at)))
        clicks.append(line(0, at, name, avro_click(name, at)))
        conversions.append(line(0, at, name, avro_click(name, at) + avro_string("buy") + b"\0" * 8))
    place.put(LOG_PUT, "impressions", 1, impressions)
    place.put(LOG_PUT, "clicks", 1, clicks)
    place.put(LOG_PUT, "conversions", 1, conversions)


def shown(place, begin_ms):
    """Every kind of measure that an operator asks for, with the values that were to be expected."""
    metrics = Metrics(place)
    count = lambda what, **labels: metrics.get(f"freshet_{what}", **labels)  # noqa: E731
    read = count("ingest_records_total", input="impressions")
    expect(read in (IMPRESSIONS + BAD + 1, IMPRESSIONS + BAD + 2), f"records are counted: {read}", metrics.samples)
    expect(count("ingest_dropped_total", input="impressions", reason="undecodable") == BAD,
           "drops are counted by reason", metrics.samples)
    for stage in ("ingest", "trainer", "publisher"):
        lag = count(f"{stage}_lag_records")
        expect(lag is not None and 0 <= lag <= 2, f"{stage}: lag in records: {lag}", metrics.samples)
        expect(count(f"{stage}_accounts_unbalanced") == 0, f"{stage}'s accounts balance", metrics.samples)
        expect(count(f"{stage}_records_total") > 0 and count(f"{stage}_steps_total") > 0, f"{stage} counts work")
    lag = count("ingest_lag_seconds")
    newest = (begin_ms + LAST_MS) / 1000
    expect(lag is not None and 0 <= lag - (time.time() - newest) < 60, f"lag in event time: {lag} s",
           time.time() - newest)
    for domain, labels in (("all", IMPRESSIONS), ("d0", IMPRESSIONS // 2), ("d1", IMPRESSIONS // 2)):
        series = dict(task="click", domain=domain, window="ever")
        found = count("trainer_measured_labels", **series)
        expect(found == labels, f"labels of {domain}: {found}", metrics.samples)
        auc = count("trainer_auc", **series)
        expect(auc is not None and 0 < auc < 1, f"AUC of {domain}: {auc}")
        entropy, calibration = (count(f"trainer_{what}", **series) for what in ("normalised_entropy", "calibration"))
        expect(entropy and entropy > 0 and calibration and calibration > 0,
               f"normalised entropy and calibration of {domain}: {entropy}, {calibration}")
    expect(count("trainer_measured_labels", task="buy", domain="all", window="ever"), "the second task is measured")
    expect(count("trainer_learnt_rows_total") > 0 and count("trainer_predictions_total") > 0, "learning is counted")
    expect(count("publisher_version") >= 1 and count("publisher_rows_total") > 0, "versions and rows are counted")
    freshness = count("publisher_freshness_seconds_count"), count("publisher_freshness_seconds_sum")
    expect(freshness[0] and freshness[1] / freshness[0] > 0, f"freshness from event to Redis: {freshness}",
           metrics.samples)


def main():
    place = Place(FRESHET)
    place.write_config(("publish_interval: 2s", "publish_interval: 500ms"), ("window: 60s", "window: 5s"),
                       ("window: 15m", "window: 6s"))
    process = place.start("run")
    process.wait(30)
    expect(process.returncode == 1 and "impressions" in place.said().splitlines()[-1],
           "a missing topic ends the daemon by name", place.said())
    for topic in ("impressions", "clicks", "conversions"):
        place.put(LOG_PUT, topic, 1, [])
    process = place.start("run")
    wait_for(lambda: place.get("/readyz")[0] == 503 and "publisher" in place.get("/readyz")[1],
             "a daemon that waits for Redis is not ready, and says what it waits for")
    expect(place.get("/healthz") == (200, "ok\n"), "a daemon that waits is well all the same")
    place.server("start", "redis")  # on another port: the daemon is told by its next start
    end(process, "a daemon that waits for Redis", detail=place.said)
    process = place.start("run")
    wait_for(lambda: place.get("/readyz") == (200, "ready\n"), "the daemon is ready", 60)
    begin_ms = int(time.time() * 1000) - 1000 * 1000
    put(place, begin_ms)
    wait_for(lambda: (Metrics(place).get("freshet_publisher_version") or 0) >= 1 and
             (Metrics(place).get("freshet_trainer_measured_labels", task="click", domain="all", window="ever")
              or 0) >= IMPRESSIONS, "labels are measured and a version is out", 60)
    time.sleep(2)  # gauges are renewed once a second
    shown(place, begin_ms)
    expect(place.get("/nothing")[0] == 404, "other paths are none")
    end(process, "the daemon", detail=place.said)
    accounts(place.out())
    place.close()
    finish()


main()
