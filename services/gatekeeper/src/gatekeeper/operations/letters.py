"""Dead letters: a table of those that there are, kept by following their topic, and replaying one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Transient
from chassis.follower import RecordFollower
from chassis.idempotent_producer import IdempotentProducer
from chassis.kafka import LARGEST_MESSAGE, aiokafka_options
from chassis.kafka_problem import explain
from chassis.settings import ServiceSettings
from chassis.telemetry import get_logger
from chassis.topics import DEAD_LETTERS
from contracts.dead_letters import DeadLetter
from gatekeeper.database import dead_letters
from gatekeeper.database.dead_letters import DeadLetterRow
from gatekeeper.refusals import CommandRefused

BATCH = 500
"""Letters of the history that are written in one transaction."""
READ_SECONDS = 5.0

log = get_logger(__name__)


class LetterIntake(RecordFollower):
    """A Part: keeps the table of dead letters. Several replicas may run it at once: each writes the same."""

    name = "dead letters"

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        super().__init__(settings, [DEAD_LETTERS])
        self._database = database
        self._known: dict[str, None] = {}
        """Ids of the letters of this reading, until it has caught up."""
        self._waiting: list[tuple[DeadLetter, int, int]] = []

    async def _hand_over(self, topic: str, message: Any) -> None:
        letter_id = (message.key or b"").decode(errors="replace")
        if message.value is None:
            self._waiting = [each for each in self._waiting if each[0].id != letter_id]
            self._known.pop(letter_id, None)
            if self.is_live:
                await self._write(lambda session: dead_letters.remove(session, [letter_id]))
            return
        try:
            letter = DeadLetter.decode(message.value, [(name, value or b"") for name, value in message.headers])
        except (KeyError, ValueError) as error:
            log.warning("no dead letter of ours", partition=message.partition, offset=message.offset, error=repr(error))
            return
        self._waiting.append((letter, message.partition, message.offset))
        if self.is_live or len(self._waiting) >= BATCH:
            await self._flush()
        if not self.is_live:
            self._known[letter.id] = None

    async def _live(self) -> None:
        await self._flush()
        known: Collection[str] = tuple(self._known)
        await self._write(lambda session: dead_letters.remove_others(session, known))
        self._known.clear()

    async def _flush(self) -> None:
        letters, self._waiting = self._waiting, []
        if letters:
            await self._write(lambda session: dead_letters.put(session, letters))

    async def _write(self, change: Callable[[Session], None]) -> None:
        def write() -> None:
            with self._database.transaction() as session:
                change(session)

        while True:
            try:
                await asyncio.to_thread(write)
                return
            except Transient as error:
                log.warning("dead letters wait for the database", error=str(error))
                await asyncio.sleep(1)


async def read_letter(settings: ServiceSettings, row: DeadLetterRow) -> DeadLetter | None:
    """Return a letter as it is on the topic; None when it is no longer there. Raises Transient without a broker."""
    partition = TopicPartition(settings.topic_prefix + DEAD_LETTERS, row.at_partition)
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=LARGEST_MESSAGE,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        consumer.assign([partition])
        consumer.seek(partition, row.at_offset)
        message = await asyncio.wait_for(consumer.getone(partition), READ_SECONDS)
    except TimeoutError:
        return None
    except KafkaError as error:
        raise Transient(await explain(settings, error)) from error
    finally:
        await consumer.stop()
    if message.offset != row.at_offset or message.value is None:
        return None  # compacted away
    return DeadLetter.decode(message.value, [(name, value or b"") for name, value in message.headers])


async def replay(settings: ServiceSettings, letter: DeadLetter) -> None:
    """Publish the original again and take the letter away.

    Raises CommandRefused when the gatekeeper may not write to the message's topic, Transient without a broker.
    """
    producer = IdempotentProducer(aiokafka_options(settings) | {"max_request_size": LARGEST_MESSAGE})
    topic, key, value, headers = letter.original
    gone, nothing = letter.tombstone
    try:
        await producer.start()
        await (await producer.send(settings.topic_prefix + topic, key=key, value=value, headers=headers))
        await (await producer.send(settings.topic_prefix + DEAD_LETTERS, key=gone, value=nothing))
    except TopicAuthorizationFailedError as error:
        raise CommandRefused(
            f"Kafka does not allow the gatekeeper to write to topic {settings.topic_prefix + topic!r}; who may, replays"
            f" it with `gauntlet dead-letters replay {letter.id}`"
        ) from error
    except KafkaError as error:
        raise Transient(await explain(settings, error)) from error
    finally:
        await producer.stop()
