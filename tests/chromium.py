"""A real Chromium without a window, driven by its own DevTools protocol: what the page's tests need of it."""

import base64
import contextlib
import json
import subprocess
import time
import urllib.request

import websocket

DEADLINE = 20


class Page:
    """One tab. Times out with an AssertionError that says what the page showed."""

    def __init__(self, address):
        # Chromium refuses connections that name an origin, unless it is told which.
        self.socket = websocket.create_connection(address, timeout=DEADLINE, suppress_origin=True)
        self.number = 0
        self.requests = []  # addresses of all that the page asked for
        self.complaints = []  # errors in its console
        self.loads = 0
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def note(self, message):
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if message.get("method") == "Page.loadEventFired":
            self.loads += 1
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"].get("exception", {}).get("description", "exception"))
        if message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"]["text"])

    def send(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.note(message)

    def open(self, address):
        target = self.loads + 1
        self.send("Page.navigate", url=address)
        end = time.monotonic() + DEADLINE
        while self.loads < target:
            assert time.monotonic() < end, f"{address} did not load"
            self.send("Runtime.evaluate", expression="0")  # events come with the answer

    def evaluate(self, expression):
        """The value of a JavaScript expression; promises are waited for."""
        result = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait_for(self, expression, deadline=DEADLINE):
        """Asks until the expression is true; returns its value and the seconds that it took."""
        begin = time.monotonic()
        while True:
            value = self.evaluate(expression)
            if value:
                return value, time.monotonic() - begin
            assert time.monotonic() - begin < deadline, (
                f"not after {deadline} s: {expression}; the page shows:\n{self.evaluate('document.body.innerText')}\n{self.complaints}")
            time.sleep(0.01)  # between two questions

    def press(self, key, code=None):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}.get(key, 0))

    def resize(self, width, height):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def prefer(self, scheme):
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, file):
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@contextlib.contextmanager
def chromium(folder):
    """Starts the browser with a profile of its own in `folder`; gives its first tab."""
    profile = folder / "chromium"
    with open(folder / "chromium.log", "wb") as log:
        process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--lang=en-GB", "--remote-debugging-port=0",
             f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        port_file = profile / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().strip()):
            assert process.poll() is None and time.monotonic() < end, "chromium did not start; see chromium.log"
            time.sleep(0.02)
        port = port_file.read_text().split()[0]
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=DEADLINE))
        yield Page(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"])
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
