"""All scenarios, in the order they are played."""

from . import crowds, races, malformed, networks, slow, meanings  # noqa: F401
