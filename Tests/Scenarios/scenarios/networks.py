"""Bad networks: what is cut, late, said twice or in another order."""

import asyncio

from book import hold
from client import BeaconWriter, PostWriter, SocketWriter, generator
from proxy import Doubts, Faults, Proxy, RequestProxy, Shuffle
from stage import scenario


@scenario(
    "reset-mid-frame",
    "Connections are reset at any byte, upwards or downwards, inside heads, frames, acks and answers: senders come back "
    "with the same ids, and each event is there once",
    memory=96 << 20)
async def reset_mid_frame(stage):
    clients, events = stage.many(60), 24
    dice = generator(stage.seed, "resets")
    resets = []

    def plan(number):
        # Every connection gets a bit further than the one before it, so that all end one day.
        reach = 300 + 12 * number
        if dice.random() < 0.75:
            faults = Faults(reset_up=dice.randrange(1, 900 + reach), slice=dice.choice((0, 0, 7, 61)))
        else:
            faults = Faults(reset_down=dice.randrange(1, 500 + reach // 2))
        resets.append(faults)
        return faults if len(resets) < clients * 6 else Faults()

    async with Proxy(stage.world.port, plan, [stage.address(number, 200) for number in range(200)]) as proxy:
        writers = [
            stage.writer(
                SocketWriter if number % 3 else PostWriter, stage.maker.some(f"cut-{number}", events), number, proxy.port, batch=3, in_flight=3)
            for number in range(clients)]
        await stage.all(writers, 90)
        cuts = sum(writer.cuts for writer in writers)
        hold(stage.book.acked == clients * events, "delivered", f"{stage.book.acked} of {clients * events} events were acked")
        hold(cuts >= clients, "load", f"only {cuts} connections were cut: too little of a fault")
        stage.counts = {"clients": clients, "connections": proxy.count, "resets": proxy.cut, "duplicates": stage.book.verdicts["duplicate"]}


@scenario(
    "late-twice-reordered",
    "Requests arrive late, twice, in another order and without an answer, and whole sockets are played twice side by side: "
    "each event is there once",
    memory=96 << 20)
async def late_twice_reordered(stage):
    clients, events = stage.many(40), 30
    dice = generator(stage.seed, "doubts")

    def doubts(number):
        return Doubts(
            twice=dice.random() < 0.5, second_first=dice.random() < 0.5, lose_answer=dice.random() < 0.15,
            delay=dice.choice((0, 0, dice.uniform(0, 0.15))))

    def faults(number):
        return Faults(delay=(0, dice.choice((0, 0.01, 0.05))), mirror=number % 2 == 0)

    shuffle = Shuffle(generator(stage.seed, "shuffle"), 8)
    addresses = [stage.address(number, 100) for number in range(100)]
    async with RequestProxy(stage.world.port, doubts, shuffle, addresses) as requests, Proxy(stage.world.port, faults, addresses) as bytes_:
        writers = []
        for number in range(clients):
            kind = (PostWriter, BeaconWriter, SocketWriter)[number % 3]
            port = bytes_.port if kind is SocketWriter else requests.port
            writers.append(stage.writer(kind, stage.maker.some(f"late-{number % 7}", events), number, port, batch=3))
        # Some say what others say, as two tabs with one outbox do.
        for number in range(0, clients - 3, 6):
            writers[number + 3].waiting.extend(list(writers[number].waiting))
        await stage.all(writers, 90)
        await asyncio.sleep(0.3)  # copies that nobody waits for
        hold(stage.book.acked == clients * events, "delivered", f"{stage.book.acked} of {clients * events} events were acked")
        hold(requests.twice > clients and requests.lost > 0 and stage.book.verdicts["duplicate"] > clients, "load", "too little was sent twice")
        stage.counts = {"requests": requests.count, "twice": requests.twice, "answers lost": requests.lost, "sockets": bytes_.count,
                        "reordered": shuffle.released, "duplicates": stage.book.verdicts["duplicate"]}
