"""Reads SQLite's write-ahead log as far as it is valid (SQLite, "Database File Format", section 4)."""

import struct
from dataclasses import dataclass
from pathlib import Path

HEADER, FRAME_HEADER = 32, 24


def checksum(data, big, one=0, two=0):
    """Two sums over the words of `data`, each of which feeds the other."""
    words = struct.unpack(f"{'>' if big else '<'}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        one = (one + words[index] + two) & 0xFFFFFFFF
        two = (two + words[index + 1] + one) & 0xFFFFFFFF
    return one, two


@dataclass
class Position:
    """How far a log had been committed: which run through the file, and the byte behind the last commit."""

    salt: bytes
    end: int


class Log:
    """A log that is followed while it grows. It starts over from time to time, with another salt."""

    def __init__(self, database):
        self.path = Path(f"{database}-wal")
        self.index = Path(f"{database}-shm")
        self.salt = None

    def _begin(self, file):
        header = file.read(HEADER)
        if len(header) < HEADER:
            return False
        magic, _, self.page, _ = struct.unpack(">4I", header[:16])
        if magic & ~1 != 0x377F0682:
            return False
        if header[16:24] == self.salt:
            return True
        self.big = bool(magic & 1)
        self.sums = checksum(header[:24], self.big)
        if self.sums != struct.unpack(">2I", header[24:32]):
            return False
        self.salt = header[16:24]
        self.place = self.committed = HEADER
        return True

    def follow(self):
        """Reads what came since; answers where the last commit ends, or None where there is no log."""
        try:
            with open(self.path, "rb") as file:
                if not self._begin(file):
                    return None
                file.seek(self.place)
                while len(frame := file.read(FRAME_HEADER + self.page)) == FRAME_HEADER + self.page:
                    _, size = struct.unpack(">2I", frame[:8])
                    if frame[8:16] != self.salt:
                        break
                    sums = checksum(frame[:8] + frame[FRAME_HEADER:], self.big, *self.sums)
                    if sums != struct.unpack(">2I", frame[16:24]):
                        break
                    self.sums = sums
                    self.place += len(frame)
                    if size:
                        self.committed = self.place
        except FileNotFoundError:
            return None
        return Position(self.salt, self.committed)

    def moved(self):
        """The byte up to which a checkpoint has copied the log into the database: its index says so, in frames (section 2.1 of walformat)."""
        with open(self.index, "rb") as file:
            file.seek(96)
            frames = struct.unpack("=I", file.read(4))[0]
        return HEADER + frames * (FRAME_HEADER + self.page)
