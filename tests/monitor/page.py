#!/usr/bin/env python3
"""The operator's view of a running daemon: /metrics, dashboard, alert rules and the live page.

usage: page.py FRESHET ROOT [PICTURES]     PICTURES: a folder for wide.png, narrow.png and dark.png
Runs a real daemon on simulated events with a real Redis, looks with promtool and headless Chromium.
"""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.error
import urllib.request

import yaml

from browser import Browser, free_port

FRESHET, ROOT = map(os.path.abspath, sys.argv[1:3])
PICTURES = sys.argv[3] if len(sys.argv) > 3 else None
IMPRESSIONS = 150000 if PICTURES else 20000


def fetch(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def series_of(text):
    """{(name, labels as JSON in order): value}"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        labels = {key: json.loads(f'"{value}"') for key, value in
                  re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")}
        found[match[1], json.dumps(labels)] = float(match[3])
    return found


class Daemon:
    """`freshet run` on simulated events that do not end."""

    def __enter__(self):
        self.work = tempfile.mkdtemp(prefix="page.")
        self.url = f"http://127.0.0.1:{free_port()}"
        subprocess.run([f"{ROOT}/scripts/redis", "start", f"{self.work}/redis"], check=True,
                       stdout=subprocess.DEVNULL)
        with open(f"{self.work}/redis/address") as text:
            redis_port = text.read().strip().rsplit(":", 1)[1]
        with open(f"{ROOT}/config/simulated.yaml") as text:
            config = text.read()
        config = config.replace("simulate: {", "simulate: {finish: false, ")
        config = config.replace("window: 15m", "window: 60s")  # so that its labels close soon
        config = config.replace("monitor:\n", "monitor:\n  sample_interval: 500ms\n"
                                "  alarms: {calibration_error: 1000, disk_free_share: 0}\n")
        with open(f"{self.work}/config.yaml", "w") as text:
            text.write(config)
        self.environment = dict(os.environ, FRESHET_REDIS_PORT=redis_port, FRESHET_NAME="shop",
                                FRESHET_DIRECTORY=self.work, FRESHET_LISTEN=self.url[len("http://"):])
        self.freshet("simulate", "--impressions", str(IMPRESSIONS), stdout=subprocess.DEVNULL, check=True)
        self.notices = []  # lines that the daemon sent to systemd
        threading.Thread(target=self.listen, daemon=True).start()
        self.environment.update(NOTIFY_SOCKET=f"{self.work}/notify", WATCHDOG_USEC="1000000")
        self.log = open(f"{self.work}/log", "w")
        self.process = subprocess.Popen([FRESHET, "run", f"{self.work}/config.yaml"], env=self.environment,
                                        cwd=ROOT, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.wait()
        return self

    def listen(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(f"{self.work}/notify")
            while "STOPPING=1" not in self.notices:
                self.notices += notify.recv(4096).decode().split("\n")

    def freshet(self, command, *words, **options):
        return subprocess.run([FRESHET, command, f"{self.work}/config.yaml", *words], cwd=ROOT,
                              env=self.environment, timeout=120, **options)

    def wait(self):
        """Until all is read and measured, so that numbers stand still."""
        deadline = time.monotonic() + 100
        before, settled = None, 0
        while settled < 6:
            assert time.monotonic() < deadline and self.process.poll() is None, open(f"{self.work}/log").read()[-3000:]
            time.sleep(0.5)
            try:
                now = {key: value for key, value in series_of(fetch(f"{self.url}/metrics")).items()
                       if "records_total" in key[0] or "measured" in key[0]}
            except OSError:
                continue
            settled = settled + 1 if now == before and any("measured" in key[0] for key in now) else 0
            before = now

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
        subprocess.run([f"{ROOT}/scripts/redis", "stop", f"{self.work}/redis"], stdout=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)


def in_time(check):
    """A sample is a moment older than /metrics, and ticks still move a counter now and then: looks again."""
    for attempt in range(6):
        try:
            return check()
        except AssertionError:
            if attempt == 5:
                raise
            time.sleep(0.7)


def check_service(daemon):
    """What systemd and an operator see: ready, watchdog, reload of safe settings, refusal of others."""
    def said(word, seconds=15):
        deadline = time.monotonic() + seconds
        while word not in daemon.notices and time.monotonic() < deadline:
            time.sleep(0.05)
        return word in daemon.notices

    def reload(before, after, wanted):
        with open(f"{daemon.work}/config.yaml") as text:
            config = text.read()
        assert before in config
        with open(f"{daemon.work}/config.yaml", "w") as text:
            text.write(config.replace(before, after))
        seen = os.path.getsize(f"{daemon.work}/log")
        daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with open(f"{daemon.work}/log") as text:
                text.seek(seen)
                if wanted in text.read():
                    break
            time.sleep(0.1)
        else:
            raise AssertionError(f"the log does not say {wanted}")
        return config

    assert said("READY=1"), "systemd was not told that the daemon is ready"
    assert said("WATCHDOG=1"), "the watchdog is not fed"
    reload("disk_free_share: 0", "disk_free_share: 1", "event=reloaded")
    deadline = time.monotonic() + 10
    while 'freshet_alarm_firing{alarm="disk_full"} 1' not in fetch(f"{daemon.url}/metrics"):
        assert time.monotonic() < deadline, "a reloaded threshold has no effect"
        time.sleep(0.1)
    assert said("RELOADING=1") and said("READY=1")
    reload("disk_free_share: 1", "disk_free_share: 0", "event=reloaded")
    good = reload("batch_rows: 64", "batch_rows: 32", "setting=trainer.learner.batch_rows")
    reload("name:", "nmae:", "event=reload-refused")
    with open(f"{daemon.work}/config.yaml", "w") as text:
        text.write(good)
    checked = daemon.freshet("check", capture_output=True, text=True).stdout
    assert re.search(r"SIGHUP reloads .*logging.level.*monitor.alarms.window", checked), checked


def check_serve(daemon):
    """`freshet serve` gives what `freshet score` gives, to clients in other languages too."""
    address = f"http://127.0.0.1:{free_port()}"
    rows = [{"user_id": 7, "item_id": 11, "domain": "d0"}, {"domain": "d1"}, {}]
    with open(f"{daemon.work}/serve.log", "w") as log:
        process = subprocess.Popen([FRESHET, "serve", f"{daemon.work}/config.yaml", "--listen", address[7:]],
                                   cwd=ROOT, env=dict(daemon.environment, NOTIFY_SOCKET=""), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                assert fetch(f"{address}/readyz") == "ready\n"
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None, open(f"{daemon.work}/serve.log").read()
                time.sleep(0.1)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        wanted = [json.loads(line) for line in
                  daemon.freshet("score", input=lines, capture_output=True, text=True, check=True).stdout.splitlines()]
        words = [json.dumps(row) for row in rows]
        shown = [json.loads(line) for line in subprocess.run(
            [sys.executable, f"{ROOT}/examples/clients/score.py", address, *words],
            capture_output=True, text=True, check=True).stdout.splitlines()]
        assert len(shown) == len(rows) and shown[0]["version"] == wanted[0]["version"], (shown, wanted)
        for one, other in zip(shown, wanted):
            assert all(abs(one[task] - other[task]) < 1e-6 for task in ("click", "buy")), (one, other)
        answer = json.loads(subprocess.run(["java", f"{ROOT}/examples/clients/Score.java", address, *words],
                                           capture_output=True, text=True, check=True).stdout)
        assert answer["tasks"] == ["click", "buy"]
        assert abs(answer["scores"][0][0] - wanted[0]["click"]) < 1e-6
        for body, code, reason in (('{"rows": [{"nonsense": 1}]}', 400, "row 0: `nonsense` is no feature"),
                                   ("{", 400, "expected"), ('{"rows": 3}', 400, "at most 10000 rows"),
                                   ("x" * (17 << 20), 413, "too long")):
            try:
                urllib.request.urlopen(f"{address}/score", data=body.encode(), timeout=20)
                raise AssertionError(f"accepted: {body[:50]}")
            except urllib.error.HTTPError as error:
                assert error.code == code and reason in error.read().decode(), (error.code, body[:50])
        exported = series_of(fetch(f"{address}/metrics"))
        assert exported["freshet_serve_rows_total", "{}"] == 6 and exported["freshet_serve_refused_total", "{}"] == 3
    finally:
        process.terminate()
        assert process.wait(20) == 0


def promtool(*words, text=None):
    done = subprocess.run(["promtool", *words], input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"promtool {words}: {done.stdout}{done.stderr}"


def names_in(expression):
    """Metric names of an expression; what {__name__=~"..."} means, written out."""
    for prefix, stages, suffix in re.findall(r'__name__=~"(\w*)\(([\w|]*)\)(\w*)"', expression):
        yield from (prefix + stage + suffix for stage in stages.split("|"))
    without = re.sub(r"\{[^}]*\}", "", expression)
    yield from re.findall(r"\b(?:freshet|process)[_:][\w:]+", without)


def check_prometheus(daemon):
    text = fetch(f"{daemon.url}/metrics")
    promtool("check", "metrics", text=text)
    exported = {name for name, _ in series_of(text)}
    with open(f"{ROOT}/config/prometheus/alerts.yaml") as file:
        rules = [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]
    exported |= {rule["record"] for rule in rules if "record" in rule}
    with open(f"{ROOT}/config/grafana/freshet.json") as file:
        board = json.load(file)
    wanted = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules]
    wanted += [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    wanted += [(variable["name"], variable["definition"]) for variable in board["templating"]["list"]]
    assert len(wanted) > 40
    for title, expression in wanted:
        used = set(names_in(expression))
        missing = used - exported
        assert (used or "up{" in expression) and not missing, f"{title}: {missing or 'no metric'} not exported"
    with open(f"{ROOT}/docs/operations.md") as file:
        sections = set(re.findall(r"^### (\w+)$", file.read(), re.MULTILINE))
    alarms = {json.loads(labels)["alarm"] for name, labels in series_of(text) if name == "freshet_alarm_firing"}
    runbooks = {rule["annotations"]["runbook"].split("#")[1] for rule in rules if "alert" in rule}
    assert alarms <= sections and runbooks <= sections, (alarms | runbooks) - sections
    assert alarms <= runbooks, f"no Prometheus rule for {alarms - runbooks}"


CELLS = """return [...document.querySelectorAll('td[data-name]')].filter((cell) => cell.offsetParent)
  .map((cell) => [cell.dataset.name, cell.dataset.labels, cell.dataset.value])"""
# What never stands still: the process's own, and what a tick moves.
MOVING = ("process_", "freshet_disk_", "freshet_ingest_lag_seconds", "freshet_trainer_lag_seconds",
          "freshet_publisher_lag_seconds")


def check_numbers(daemon, browser):
    exported = series_of(fetch(f"{daemon.url}/metrics"))
    cells = browser.run(CELLS)
    equal = 0
    for name, text, value in cells:
        labels = json.dumps(json.loads(text))
        assert (name, labels) in exported, f"the page shows {name}{labels}, which /metrics does not"
        if name.startswith(MOVING):
            continue
        assert value != "null" and float(value) == exported[name, labels], \
            f"{name}{labels}: the page shows {value}, /metrics {exported[name, labels]}"
        equal += 1
    assert equal > 30, f"only {equal} numbers on the page"


def check_page(daemon):
    with Browser() as browser:
        browser.open(daemon.url + "/")
        samples = int(browser.until("return document.body.dataset.samples", "the page has samples"))
        assert samples > 5, "the history from before the page was opened is there"
        panels = browser.run("return [...document.querySelectorAll('figure')].filter((one) => one.offsetParent)"
                             ".map((one) => one.dataset.panel)")
        for wanted in ("Online AUC", "Predicted / observed", "Domains", "Freshness: event to Redis",
                       "Records waiting", "Embedding rows"):
            assert wanted in panels, f"no panel {wanted}: {panels}"
        plotted = "return [...document.querySelectorAll('.plot')].filter((one) => one.offsetParent && !one.querySelector('canvas')).length"
        assert browser.run(plotted) == 0, "a panel without a plot"
        browser.until(f"return Number(document.body.dataset.samples) >= {samples + 4}", "plots move")
        in_time(lambda: check_numbers(daemon, browser))
        assert "No alarm sounds." in browser.run("return document.getElementById('alarms').textContent")
        browser.run("const chosen = document.getElementById('task'); chosen.value = 'buy';"
                    "chosen.dispatchEvent(new Event('change'))")
        browser.until("return document.querySelector('figure[data-panel=Domains] td')?.dataset.labels.includes('buy')",
                      "the domains of another task")
        heard = "return document.querySelector('.plot').getAttribute('aria-label')"
        assert "click" in browser.run(heard)
        before = browser.run(heard)
        browser.run("document.querySelector('.plot').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}))")
        assert browser.run(heard) != before, "the arrow keys move through the plot"
        browser.open(daemon.url + "/")
        again = int(browser.until("return document.body.dataset.samples", "the page after a reload"))
        assert again > samples, "a reload starts from the history, not from nothing"
        assert browser.complaints() == [], browser.complaints()
    with Browser(390, 844, dark=True) as browser:
        browser.open(daemon.url + "/")
        browser.until("return document.body.dataset.samples", "the narrow page has samples")
        assert browser.run("return document.documentElement.scrollWidth") <= 390, "a phone scrolls sideways"
        background = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert max(map(int, re.findall(r"\d+", background))) < 64, f"not dark: {background}"


def in_terminal(command, environment, columns, rows):
    """What a terminal of that size shows of a command until `q` ends it: its lines, without colours."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True)
    os.close(slave)
    shown, asked = b"", False
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.2)
        try:
            got = os.read(master, 65536) if ready else b""
        except OSError:
            break
        shown += got
        if b"\x1b[J" in shown and not asked:
            os.write(master, b"q")
            asked = True
        if asked and not got:
            break
    assert process.wait(20) == 0
    os.close(master)
    frame = shown.decode().split("\x1b[H", 1)[1].split("\x1b[J", 1)[0]
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", frame).split("\n")


def check_top_numbers(daemon, address):
    done = subprocess.run([FRESHET, "top", address, "--json"], capture_output=True, text=True, check=True)
    shown = json.loads(done.stdout)["daemons"][0]
    exported = series_of(fetch(f"{daemon.url}/metrics"))
    assert shown["deployment"]["name"] == "shop" and shown["ready"] is True
    compared = 0
    for one in shown["series"]:
        key = one["name"], json.dumps(one["labels"])
        assert key in exported, f"top shows {key}, which /metrics does not"
        if not one["name"].startswith(MOVING) and one["value"] is not None:
            assert one["value"] == exported[key], f"{key}: top {one['value']}, /metrics {exported[key]}"
            compared += 1
    assert compared > 50


def check_top(daemon):
    address = daemon.url[len("http://"):]
    environment = dict(os.environ, LC_ALL="C.UTF-8")
    in_time(lambda: check_top_numbers(daemon, address))
    once = subprocess.run([FRESHET, "top", address], capture_output=True, text=True, check=True,
                          env=environment).stdout
    assert "\x1b" not in once and "DOMAIN OF" in once and re.search(r"^click +\S+ +0\.\d{4}", once, re.M), once
    for columns, rows in ((80, 24), (60, 15), (132, 50)):
        lines = in_terminal([FRESHET, "top", address], environment, columns, rows)
        assert len(lines) <= rows and max(map(len, lines)) <= columns, f"{columns} x {rows}: {lines}"
        assert any(line.startswith("click ") for line in lines), lines
    away = subprocess.run([FRESHET, "top", f"127.0.0.1:{free_port()}", "--once"], capture_output=True, text=True)
    assert away.returncode == 4 and "could not reach a daemon" in away.stdout, away


def take_pictures(daemon):
    for name, width, height, dark in (("wide", 1400, 1100, False), ("narrow", 390, 1100, False), ("dark", 1400, 1100, True)):
        with Browser(width, 900, dark) as browser:
            browser.open(daemon.url + "/")
            browser.until("return document.body.dataset.samples", "samples")
            browser.picture(f"{PICTURES}/{name}.png", height)
    with open(f"{PICTURES}/top.txt", "w") as text:
        address = daemon.url[len("http://"):]
        text.write("\n".join(in_terminal([FRESHET, "top", address], dict(os.environ, LC_ALL="C.UTF-8"), 80, 24)))


def main():
    with Daemon() as daemon:
        check_prometheus(daemon)
        check_service(daemon)
        check_serve(daemon)
        check_top(daemon)
        check_page(daemon)
        if PICTURES:
            take_pictures(daemon)
    assert "STOPPING=1" in daemon.notices
    print("page: all checks passed")


main()
