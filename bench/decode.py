"""Events a second and CPU microseconds an event of decoding alone, beside the standard library's json.

python bench/decode.py [--events 200000] [--runs 5]
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import time
from collections.abc import Callable, Sequence

from load import messages
from umbel.model.decode import Decoder


def with_json(batch: Sequence[bytes]) -> int:
    """What any monitor must do at least: open the envelope, the base64 and the body."""
    seen = 0
    for message in batch:
        body = json.loads(base64.b64decode(json.loads(message)["body"]))
        seen += len(body) if isinstance(body, list) else 1
    return seen


def with_umbel(batch: Sequence[bytes]) -> int:
    """Typed events."""
    return len(Decoder().envelopes(batch).events)


def cpu(work: Callable[[Sequence[bytes]], int], batch: Sequence[bytes]) -> float:
    """CPU seconds an event."""
    began = time.process_time()
    seen = work(batch)
    return (time.process_time() - began) / seen


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(
        f"{'events/message':>14} {'umbel us/event':>15} {'events/s':>12} {'json us/event':>14} {'ratio json/umbel':>17}"
    )
    for size in (1, 2, 10, 24):
        batch = messages(options.events, size)
        pairs = [(cpu(with_umbel, batch), cpu(with_json, batch)) for _ in range(options.runs)]
        umbel, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{size:>14} {umbel * 1e6:>15.2f} {1 / umbel:>12,.0f} {plain * 1e6:>14.2f} {ratio:>17.2f}")


if __name__ == "__main__":
    main()
