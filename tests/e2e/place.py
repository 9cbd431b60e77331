"""What the end-to-end tests share: a folder with its own servers, logs and daemons.

A test imports this as `place`, collects failures by expect(), and ends with finish().
"""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(HERE, "config/simulated.yaml")
failures = []


class Place:
    """A folder with its own logs, state and servers; `freshet` is the binary that runs there."""

    def __init__(self, freshet, backend="files", config=CONFIG):
        self.freshet, self.backend, self.config = freshet, backend, config
        self.work = tempfile.mkdtemp(prefix="freshet-e2e.")
        self.ports = {}
        self.begun = 0  # where the newest daemon's lines begin in the log
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
            with open(f"{self.work}/{name}/address") as text:
                address = text.read().strip()
            self.ports[name] = address.rsplit(":", 1)[1]
            self.environment["FRESHET_REDIS_PORT" if name == "redis" else "FRESHET_BROKERS"] = (
                self.ports[name] if name == "redis" else address)

    def write_config(self, *changes, base=CONFIG):
        """The configuration with these (old, new) changes becomes this place's own."""
        with open(base) as text:
            content = text.read()
        for old, new in changes:
            assert old in content, old
            content = content.replace(old, new, 1)
        self.config = os.path.join(self.work, "own.yaml")
        with open(self.config, "w") as text:
            text.write(content)
        return self.config

    def run(self, *words, config=None, timeout=120, **more):
        return subprocess.run([self.freshet, words[0], config or self.config, *words[1:]], cwd=HERE,
                              env=self.environment, capture_output=True, text=True, timeout=timeout, **more)

    def start(self, *words, environment=None):
        path = os.path.join(self.work, "daemon.log")
        self.begun = os.path.getsize(path) if os.path.exists(path) else 0
        with open(os.path.join(self.work, "daemon.log"), "ab") as log, \
             open(os.path.join(self.work, "daemon.out"), "wb") as out:
            return subprocess.Popen([self.freshet, words[0], self.config, *words[1:]], cwd=HERE, stdout=out,
                                    stderr=log, env=dict(self.environment, **(environment or {})))

    def put(self, tool, topic, partitions, lines):
        """Records of any bytes into a topic; see log_put.c."""
        where = (["kafka", self.environment["FRESHET_BROKERS"]] if self.backend == "kafka"
                 else ["files", f"{self.work}/logs"])
        subprocess.run([tool, *where, topic, str(partitions)], input="".join(f"{line}\n" for line in lines),
                       text=True, check=True)

    def inspect(self, *words):
        """The lines of `freshet inspect` as objects."""
        done = self.run("inspect", *words)
        expect(done.returncode == 0, f"inspect {' '.join(words)}", done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def log(self):
        """What all daemons started here have said."""
        with open(os.path.join(self.work, "daemon.log")) as text:
            return text.read()

    def said(self):
        """What the newest daemon has said."""
        with open(os.path.join(self.work, "daemon.log"), "rb") as text:
            text.seek(self.begun)
            return text.read().decode()

    def out(self):
        with open(os.path.join(self.work, "daemon.out")) as text:
            return text.read()

    def port(self):
        """Of the newest daemon's HTTP side."""
        wait_for(lambda: "event=listening" in self.said(), "a daemon listens")
        return int(self.said().split("event=listening port=", 1)[1].split()[0])

    def get(self, path):
        """(status, text) of an HTTP request to the newest daemon; status 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port()}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except urllib.error.URLError as reason:
            return 0, str(reason)

    def close(self):
        for name in list(self.ports):
            subprocess.run([f"{HERE}/scripts/{name}", "stop", f"{self.work}/{name}"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)


def expect(condition, what, detail=""):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what}\n{str(detail)[-2000:]}", file=sys.stderr)
    return bool(condition)


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    expect(False, f"{what} within {seconds} s")
    return False


def end(process, what, seconds=30, code=0, detail=lambda: ""):
    """SIGTERM, then the exit code within the time."""
    begin = time.monotonic()
    process.terminate()
    try:
        found = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return expect(False, f"{what}: ends within {seconds} s of SIGTERM", detail())
    expect(found == code, f"{what}: exit code {code} after SIGTERM, not {found}", detail())
    return time.monotonic() - begin


def accounts(text):
    """{(task, input): {"read": n, "used": n, "in_flight": n, "dropped.REASON": n, ...}}; each must balance."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("account "):
            continue
        _, task, source, *pairs = line.split()
        account = {key: int(value) for key, value in (pair.split("=") for pair in pairs if "=" in pair)}
        dropped = sum(n for key, n in account.items() if key.startswith("dropped."))
        expect(account["read"] == account["used"] + account["in_flight"] + dropped, "an account balances", line)
        found[task, source] = account
    return found


def avro_long(number):
    number = (number << 1) ^ (number >> 63)
    into = bytearray()
    while number > 127:
        into.append(number & 127 | 128)
        number >>= 7
    into.append(number)
    return bytes(into)


def avro_string(text):
    return avro_long(len(text.encode())) + text.encode()


def avro_impression(name, time_ms, quality=0.5, user="u1", item="i1", domain="d1"):
    """By schemas/impression.avsc, with the features of config/simulated.yaml."""
    categories = b"".join(avro_string(text) for text in ("group", "g1", "category", "c1", "hour", "h1"))
    return (avro_string(name) + avro_long(time_ms) + avro_string(user) + avro_string(item) +
            avro_string(domain) + avro_long(3) + categories + avro_long(0) +
            avro_long(1) + avro_string("quality") + struct.pack("<d", quality) + avro_long(0))


def avro_click(name, time_ms):
    """By schemas/click.avsc."""
    return avro_string(name) + avro_long(time_ms)


def finish():
    print(f"{len(failures)} failures" if failures else "all as promised")
    sys.exit(1 if failures else 0)
