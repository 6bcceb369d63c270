"""`python -m embedded_kafka --port 9092 --data-dir D` runs a broker until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from embedded_kafka.broker import EmbeddedKafka
from embedded_kafka.errors import EmbeddedKafkaError


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m embedded_kafka", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where the broker keeps its data and its log")
    parser.add_argument("--port", type=int, default=9092, help="0 takes a free one (default: %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with EmbeddedKafka(options.data_dir, options.port or None) as broker:
            say(f"Kafka answers on {broker.bootstrap_servers} (pid {broker.pid}, log {broker.log_file})")
            while broker.running:
                time.sleep(0.2)
            say(f"error: Kafka ended by itself; its log is {broker.log_file}")
            return 1
    except EmbeddedKafkaError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
