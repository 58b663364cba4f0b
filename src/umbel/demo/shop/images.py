"""Images: slow work in a pool of threads."""

from __future__ import annotations

from umbel.demo.shop.application import dice, task, work


@task("shop.images.resize")
def resize(sku: str, shot: int, width: int) -> dict[str, object]:
    """Make one size of a product's picture, in 1 to 6 seconds, mostly the shorter."""
    chance = dice("resize", sku, shot, width)
    work(1.0 + 5.0 * chance.random() ** 3)
    return {"file": f"{sku}-{shot}@{width}.webp", "bytes": width * chance.randint(60, 120)}
