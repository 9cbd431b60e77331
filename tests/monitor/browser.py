"""A headless Chromium through its WebDriver: enough for the page's test and for pictures of it."""
import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "--disable-dev-shm-usage"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser:
    """`with Browser(WIDTH, HEIGHT, dark) as browser:` and it is gone afterwards."""

    def __init__(self, width=1400, height=900, dark=False):
        self.size, self.dark, self.session = (width, height), dark, None
        self.address = f"http://127.0.0.1:{free_port()}"
        self.profile = tempfile.mkdtemp(prefix="browser.")
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.address.rsplit(':', 1)[1]}"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        deadline = time.monotonic() + 20
        while self.session is None:
            try:
                options = {"args": [*FLAGS, f"--user-data-dir={self.profile}",
                                    f"--window-size={self.size[0]},{self.size[1]}"]}
                self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
                    "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})["sessionId"]
            except urllib.error.HTTPError:
                raise
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}])
        self.command("Emulation.setDeviceMetricsOverride", width=self.size[0], height=self.size[1],
                     deviceScaleFactor=1, mobile=self.size[0] < 600)
        return self

    def __exit__(self, *_):
        if self.session:
            self.ask("DELETE", f"/session/{self.session}")
        self.driver.terminate()
        self.driver.wait(20)
        shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.address + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def here(self, path, body):
        return self.ask("POST", f"/session/{self.session}{path}", body)

    def command(self, name, **parameters):
        return self.here("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def open(self, url):
        self.here("/url", {"url": url})

    def run(self, script, *arguments):
        return self.here("/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script, what, seconds=30):
        """Waits for a script to give something true, and gives it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.run(script)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {what}")

    def complaints(self):
        return [line["message"] for line in self.here("/se/log", {"type": "browser"})]

    def picture(self, path, height=None):
        whole = self.run("return document.documentElement.scrollHeight")
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True, clip={
            "x": 0, "y": 0, "width": self.size[0], "height": min(height or whole, whole), "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
