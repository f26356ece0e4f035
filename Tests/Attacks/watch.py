"""What a process holds while it is attacked, and how long others wait meanwhile."""

import os
import threading
import time

import requests

MEGABYTE = 1 << 20


class Watch:
    def __init__(self, gateway):
        self.process = gateway.process.pid

    def memory(self):
        """Bytes resident now."""
        return self._status("VmRSS")

    def peak(self):
        """The most bytes that were ever resident, or were since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self):
        """From here on `peak` tells of what comes (proc(5), clear_refs)."""
        with open(f"/proc/{self.process}/clear_refs", "w") as switch:
            switch.write("5")

    def files(self):
        """Open descriptors, sockets among them."""
        return len(os.listdir(f"/proc/{self.process}/fd"))

    def _status(self, name):
        with open(f"/proc/{self.process}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name + ":"))

    def files_settle(self, most, seconds=10):
        """Whether no more than `most` are open within that time."""
        deadline = time.monotonic() + seconds
        while self.files() > most:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


class Neighbour:
    """Asks for `/healthz` over and over while the block runs, and knows the longest wait."""

    def __init__(self, gateway, pause=0.05):
        self.url, self.pause, self.longest, self.failed = gateway.url + "/healthz", pause, 0.0, []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self):
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                # A connection of its own each time: it may be accepted by any of the server's loops.
                status = requests.get(self.url, timeout=60, headers={"Connection": "close"}).status_code
                if status != 200:
                    self.failed.append(status)
            except requests.RequestException as error:
                self.failed.append(error)
            self.longest = max(self.longest, time.monotonic() - begun)
            self.over.wait(self.pause)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(70)
