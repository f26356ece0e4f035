"""Pages of Chromium and Firefox, whichever is asked for."""

import os
import shutil

from firefox import Firefox
from page import Chromium

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"


class Browsers:
    """Opens pages in either browser; Firefox starts when it is first wanted, once for each scheme of colours."""

    def __init__(self, chromium):
        self.chromium = chromium
        self.foxes = {}

    def page(self, name, dark=False, still=False, **options):
        if name == "chromium":
            return Chromium(self.chromium, dark=dark, still=still, **options)
        if (dark, still) not in self.foxes:
            self.foxes[dark, still] = Firefox(dark=dark, still=still)
        return self.foxes[dark, still].page(**options)

    def stop(self):
        for fox in self.foxes.values():
            fox.stop()
