"""Whoever measures how long a refusal takes must learn nothing of what is right: no key letter by letter, and no name of anybody.

How it is judged. Two kinds of guesses are sent in turn on one line, in pairs whose order changes, so that load and warmth touch both
alike. Of each kind the median counts, which a few slow answers don't move. Its own uncertainty, with some hundred answers a kind, is
about a fifteenth of the spread (the distance between the quartiles of all). A difference of medians below half the spread is therefore
seven times what chance makes of equals, and still so small that somebody over a network, where the spread is a thousand times larger,
would need millions of answers a letter; a comparison that looks a prefix up, or hashes only what begins right, is far above it. A
machine under load makes one measurement odd now and then: only what five in a row say counts.
"""

import random
import statistics
import time
import zlib

import pytest
import requests

from wire import Line, request

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAIRS = 250
ROUNDS = 5


def sealed(body):
    """A key text with its checksum: CRC-32 of all before it, as six base62 digits (P-KEY-2)."""
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        digits = ALPHABET[rest % 62] + digits
        rest //= 62
    return body + digits


def alike(key, chance):
    """A well-formed key that nobody has and that differs from a real one in its last letter before the checksum."""
    body = key[:-6]
    return sealed(body[:-1] + chance.choice([letter for letter in ALPHABET if letter != body[-1]]))


def unlike(key, chance):
    """A well-formed key that nobody has and that shares its lane's prefix with a real one, and no letter after it."""
    return sealed(key[:3] + "".join(chance.choice([letter for letter in ALPHABET if letter != real]) for real in key[3:-6]))


def measure(gateway, guesses, ask):
    """Seconds to the answer, by kind of guess; pairs in changing order."""
    chance, taken = random.Random(7), {kind: [] for kind in guesses}
    # Made before the first is sent: a guess that took longer to make would find the gateway's threads deeper asleep.
    rounds = [[(kind, ask(guesses[kind](chance))) for kind in chance.sample(list(guesses), len(guesses))] for _ in range(PAIRS + 20)]
    with Line(gateway) as line:
        for number, requests_of_round in enumerate(rounds):
            for kind, data in requests_of_round:
                begun = time.perf_counter()
                line.send(data)
                answer = line.answer()
                seconds = time.perf_counter() - begun
                assert answer.status == 401 and b"unknown_key" in answer.body, answer
                # The first ones warm up.
                if number >= 20:
                    taken[kind].append(seconds)
    return taken


def difference(taken):
    """How far the medians are apart, in spreads."""
    low, _, high = statistics.quantiles([seconds for kind in taken.values() for seconds in kind], n=4)
    medians = [statistics.median(kind) for kind in taken.values()]
    return (max(medians) - min(medians)) / (high - low)


def test_the_checksum_is_made_as_the_gateway_makes_it(shared):
    """The guesses of this file have to be well formed, or they would be refused before anything is compared."""
    for key in (shared.public, shared.secret):
        assert sealed(key[:-6]) == key and alike(key, random.Random(1))[:-7] == key[:-7] and len(unlike(key, random.Random(1))) == len(key)


@pytest.mark.parametrize("lane, method, path", [("secret", "GET", "/v1/threads"), ("secret", "POST", "/v1/events"), ("public", "POST", "/v1/events"),
    ("secret", "POST", "/api/v1/private/traces/batch")])
def test_a_key_that_is_nearly_right_is_refused_as_fast_as_one_that_is_all_wrong(shared, lane, method, path):
    """Threat: a key is found letter by letter, because a guess that begins right takes longer to refuse. Keys are looked up by their hash, so
    nearly right is as wrong as any."""
    real = getattr(shared, lane)
    guesses = {"alike": lambda chance: alike(real, chance), "unlike": lambda chance: unlike(real, chance)}
    found = []
    for _ in range(ROUNDS):
        found.append(difference(measure(shared.gateway, guesses, lambda key: request(method, path, [("Authorization", f"Bearer {key}")]))))
        if found[-1] < 0.5:
            return
    raise AssertionError(f"medians differ by {', '.join(f'{part:.2f}' for part in found)} spreads: a guess that begins right can be told")


def test_a_guess_for_a_revoked_key_takes_no_other_time_than_for_a_living_one(gateway, made):
    """Threat: nearly right guesses of a key that was revoked are told from those of a living one. Neither is near to anything."""
    project = made()
    gone = gateway.answer("key", "create", "--project", project.name, "--lane", "secret")
    gateway.command("key", "revoke", gone["id"])
    guesses = {"living": lambda chance: alike(project.secret, chance), "revoked": lambda chance: alike(gone["key"], chance)}
    found = []
    for _ in range(ROUNDS):
        found.append(difference(measure(gateway, guesses, lambda key: request("POST", "/v1/events", [("Authorization", f"Bearer {key}")]))))
        if found[-1] < 0.5:
            return
    raise AssertionError(f"medians differ by {', '.join(f'{part:.2f}' for part in found)} spreads")


def test_a_wrong_password_takes_as_long_for_a_name_that_is_not_there(gateway):
    """Threat: the time of a refused sign-in tells who is a member. A password is derived for nobody just the same, so the medians are within a
    factor of two."""
    def post(**body):
        begun = time.perf_counter()
        answer = requests.post(gateway.url + "/ui/session", json=body, headers={"Sec-Fetch-Site": "same-origin", "Origin": gateway.url}, timeout=60)
        return answer.status_code, time.perf_counter() - begun, answer
    people = {"with a password": [], "without one": [], "nobody": []}
    for number in range(2):
        for kind in ("with a password", "without one"):
            name = f"{kind} {number}"
            token = gateway.answer("review", "link", "--name", name, "--role", "reader")["url"].split("#signin=")[1]
            session = post(token=token)[2].cookies
            if kind == "with a password":
                assert requests.put(gateway.url + "/ui/session/password", json={"new": "correct horse battery"}, cookies=session,
                    headers={"Sec-Fetch-Site": "same-origin"}, timeout=60).status_code == 204
    for number in range(6):
        for kind, taken in people.items():
            # Two names each, so that no limit on tries is reached.
            status, seconds, _ = post(name=f"{kind} {number % 2}", password="wrong horse battery")
            assert status == 401
            taken.append(seconds)
    medians = {kind: statistics.median(taken) for kind, taken in people.items()}
    assert max(medians.values()) < 2 * min(medians.values()), medians
