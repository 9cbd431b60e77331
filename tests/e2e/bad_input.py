#!/usr/bin/env python3
"""Bad input, end to end: every record is used or becomes a dead letter with its bytes untouched.

usage: bad_input.py FRESHET LOG_PUT     real daemons on file logs; a schema registry over HTTP
"""
import http.server
import json
import os
import sys
import threading

from place import (HERE, Place, accounts, avro_click, avro_impression, avro_long, avro_string, end, expect,
                   finish, wait_for)

FRESHET, LOG_PUT = map(os.path.abspath, sys.argv[1:3])
START = 1700000000000
YEARS = 10 * 365 * 86400000
GOOD = 40


def schema(event_time):
    """Of impressions, with another type for the event time; None: without it."""
    with open(f"{HERE}/schemas/impression.avsc") as text:
        record = json.load(text)
    for field in record["fields"]:
        if field["name"] == "event_time" and event_time:
            field["type"] = event_time
    record["fields"] = [f for f in record["fields"] if f["name"] != "event_time" or event_time]
    return json.dumps(record)


SCHEMAS = {1: schema("long"), 2: schema(None), 3: schema(["null", "long"]), 4: schema("string"),
           5: schema("long")}


class Registry:
    """Answers as Confluent's schema registry does, on a port that it keeps when started again."""

    def __init__(self):
        self.port = 0
        self.start()

    def start(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = SCHEMAS.get(int(self.path.rsplit("/", 1)[1]))
                body = json.dumps({"schema": found} if found else {"error_code": 40403}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def framed(number, value):
    return b"\0" + number.to_bytes(4, "big") + value


def line(partition, time_ms, name, value):
    key = name.encode().hex() or "-"
    return f"{partition} {time_ms} {key} {'-' if value is None else value.hex() or '.'}"


def own_place(registry):
    place = Place(FRESHET)
    place.write_config(
        ("      schema: schemas/impression.avsc\n",
         "      schema: schemas/impression.avsc\n      framing: confluent\n"),
        ("  join: window\n",
         f"  join: window\n  registry: {{url: 'http://127.0.0.1:{registry.port}', attempts: 1}}\n"),
        ("  runner: {order: event_time}\n\nmodel", "  runner: {idle_timeout: 200ms}\n\nmodel"))
    place.server("start", "redis")
    return place


def bad_records():
    """(name, reason, bytes, how many of it): what a letter must say, and the bytes it must hold."""
    whole = avro_impression("x", START)
    flipped = bytearray(framed(1, whole))
    flipped[5] ^= 1  # the length of the first text turns negative
    union = avro_string("x") + avro_long(1)
    rest = whole[len(avro_string("x") + avro_long(START)):]
    return [
        ("cut", "undecodable", framed(1, whole[: len(whole) // 2]), 1),
        ("flipped", "undecodable", bytes(flipped), 2),
        ("empty", "undecodable", b"", 1),
        ("frameless", "undecodable", whole, 1),
        ("unknown schema", "unknown-schema", framed(99, whole), 2),
        ("missing field", "missing-field", framed(2, avro_string("x") + rest), 3),
        ("null where none may be", "missing-field", framed(3, avro_string("x") + avro_long(0) + rest), 1),
        ("wrong union branch", "undecodable", framed(3, avro_string("x") + avro_long(7) + rest), 1),
        ("union branch before nothing", "undecodable", framed(3, union), 1),
        ("wrong type", "wrong-type", framed(4, avro_string("x") + avro_string("noon") + rest), 1),
        ("NaN", "invalid-number", framed(1, avro_impression("x", START, float("nan"))), 1),
        ("infinite", "invalid-number", framed(1, avro_impression("x", START, float("inf"))), 2),
        ("negative time", "invalid-time", framed(1, avro_impression("x", -5)), 1),
        ("far future", "invalid-time", framed(1, avro_impression("x", START + YEARS)), 1),
        ("least time", "invalid-time", framed(1, avro_impression("x", -2**63)), 1),
    ]


def dirt(registry):
    place = own_place(registry)
    impressions, letters, reasons = [], [], {}
    for i in range(GOOD):
        name = f"p{i}"
        impressions.append(line(0, START + i, name, framed(1, avro_impression(name, START + i))))
    for name, reason, value, count in bad_records():
        for _ in range(count):
            impressions.insert(len(impressions) // 2, line(0, START, name, value))
            letters.append((reason, value.hex()))
        reasons[f"dropped.{reason}"] = reasons.get(f"dropped.{reason}", 0) + count
    impressions.append(line(0, START, "tombstone", None))
    clicks = [line(0, START + i + 500, f"p{i}", avro_click(f"p{i}", START + i + 500)) for i in range(0, GOOD, 2)]
    clicks.append(line(0, START, "cut", avro_click("p1", START)[:-2]))
    place.put(LOG_PUT, "impressions", 1, impressions)
    place.put(LOG_PUT, "clicks", 1, clicks)
    place.put(LOG_PUT, "conversions", 1, [])
    done = place.run("run", "--finish")
    expect(done.returncode == 0, "dirt does not stop a run", done.stderr)
    found = accounts(done.stdout)
    wanted = dict(reasons, read=len(impressions), used=GOOD, in_flight=0, **{"dropped.null-value": 1})
    expect(found.get(("faults.ingest-0", "impressions")) == wanted, "each kind of dirt has its counter",
           f"{found}\nwanted {wanted}")
    wanted = {"read": len(clicks), "used": GOOD // 2, "in_flight": 0, "dropped.undecodable": 1}
    expect(found.get(("faults.ingest-0", "clicks")) == wanted, "a cut click is counted", found)
    held = [(letter["reason"], letter["value"]) for letter in place.inspect("log", "faults.dead-letters")
            if letter.get("topic") == "impressions"]
    expect(sorted(held) == sorted(letters), "each letter holds the record's bytes untouched",
           f"{sorted(set(letters) - set(held))}\n{sorted(set(held) - set(letters))}")
    place.close()


def registry_down(registry):
    place = own_place(registry)
    for topic in ("impressions", "clicks", "conversions"):
        place.put(LOG_PUT, topic, 1, [])

    def put(first, number):
        place.put(LOG_PUT, "impressions", 1,
                  [line(0, START + i, f"p{i}", framed(number, avro_impression(f"p{i}", START + i)))
                   for i in range(first, first + GOOD)])

    def scored():
        try:
            return sum("score" in each["kind"] for each in place.inspect("log", "faults.examples")
                       if "kind" in each)
        except (ValueError, KeyError):
            return 0

    process = place.start("ingest")
    put(0, 1)
    wait_for(lambda: place.get("/readyz")[0] == 200, "ingest is ready")
    wait_for(lambda: scored() == GOOD, "the first records are joined")
    registry.stop()
    put(GOOD, 5)
    wait_for(lambda: "could not reach the schema registry" in place.log(), "a registry that is down is said")
    expect(process.poll() is None, "ingest waits for its registry", place.log())
    expect(scored() == GOOD, "nothing is made of records whose schema is not known")
    registry.start()
    wait_for(lambda: scored() == 2 * GOOD, "the records are joined once the registry is back", 60)
    end(process, "ingest", detail=place.log)
    found = accounts(place.out()).get(("faults.ingest-0", "impressions"), {})
    expect(found.get("read") == 2 * GOOD and not any(key.startswith("dropped") for key in found),
           "a registry that was down lost nothing", place.out())
    # Down at the next start: answers went with the checkpoint, new ids wait.
    registry.stop()
    done = place.run("run", "--finish")
    expect(done.returncode == 0, "known schemas need no registry", done.stderr)
    registry.start()
    place.close()


def empty_topics():
    place = Place(FRESHET)
    place.server("start", "redis")
    for topic in ("impressions", "clicks", "conversions"):
        place.put(LOG_PUT, topic, 2, [])
    done = place.run("run", "--finish")
    expect(done.returncode == 0, "empty topics are no error", done.stderr)
    found = accounts(done.stdout)
    expect(len(found) >= 8 and all(account["read"] == 0 for (task, _), account in found.items()
                                   if "ingest" in task), "empty topics are accounted for", done.stdout)
    done = place.run("score", "--from-log", "1")
    expect(len(done.stderr.splitlines()) <= 1, "scoring after empty topics takes one line", done.stderr)
    place.close()


def other_partitioner():
    place = Place(FRESHET)
    place.server("start", "redis")
    names = [f"p{i}" for i in range(64)]
    for topic, partitioner in (("impressions", "murmur2"), ("conversions", "murmur2"), ("clicks", "crc32")):
        lines = []
        for i, name in enumerate(names):
            value = avro_impression(name, START + i) if topic == "impressions" else avro_click(name, START + i)
            if topic == "conversions":
                value += avro_string("buy") + b"\0" * 8
            lines.append(line(partitioner, START + i, name, value))
        place.put(LOG_PUT, topic, 4, lines)
    for command in ("run", "check"):
        done = place.run(command, *(["--finish"] if command == "run" else []))
        text = done.stderr + done.stdout
        expect(done.returncode == 3, f"{command}: another partitioner is refused", text)
        for word in ("clicks", "crc32", "murmur2"):
            expect(word in text, f"{command}: another partitioner is refused by name: {word}", text)
    place.close()


def main():
    registry = Registry()
    dirt(registry)
    registry_down(registry)
    registry.stop()
    empty_topics()
    other_partitioner()
    finish()


main()
