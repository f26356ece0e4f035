"""Data folders of ten thousand messages and more, made once and kept."""

import json
import shutil
import subprocess
import sys
import threading

from . import servers
from .processes import Failed
from .servers import BUILD, ROOT


def sizes(messages):
    """Ten thousand, and ten times as many each, up to `messages`."""
    found, size = [], min(10_000, max(20, messages // 10))
    while size < messages:
        found.append(size)
        size *= 10
    return found + [messages]


def review(server, messages, options, *arguments):
    """Runs bench-review.py; returns the figures it ends with, if it was asked for them."""
    command = [sys.executable, ROOT / "scripts/bench-review.py", "--url", server.url, "--secret", server.secret, "--messages", str(messages),
               "--threads", str(max(2, messages // 10)), *map(str, arguments)]
    child = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    # Seeding ten million and waiting for search takes the longest of all; it ends all the same.
    end = threading.Timer(2 * options.patience, child.kill)
    end.start()
    last = ""
    # It shows how far it is; the figures are its last line.
    for last in child.stdout:
        if not last.startswith("["):
            print("    " + last.strip(), file=sys.stderr, flush=True)
    code = child.wait()
    end.cancel()
    if code:
        raise Failed("bench-review.py failed, or was not done in time; see above")
    return json.loads(last) if last.startswith("[") else None


def seeded(messages, options):
    """A folder with so many messages of 600 bytes, search caught up, nobody serving it."""
    folder = BUILD / f"seed-{messages}"
    if (folder / "done").exists():
        return folder
    print(f"    seeding {messages:,} messages", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # On all cores: this is not measured.
    with servers.parley(folder, core=None) as server:
        review(server, messages, options, "--seed-only", "--size", 600, "--workers", 2)
        server.until_caught_up(options.patience)
    (folder / "done").touch()
    return folder
