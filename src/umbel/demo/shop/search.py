"""The search index: a chord of chunks, and a rebuild that nobody has the patience for."""

from __future__ import annotations

from celery import chord, group

from umbel.demo.shop.application import dice, task, work


@task("shop.search.reindex")
def reindex(number: int, chunks: int) -> str:
    """Index the catalogue anew in so many chunks at once, then sum up."""
    work(0.05)
    header = group(index_chunk.s(number, chunk) for chunk in range(chunks))
    body = chord(header)(summarise.s(number))
    return f"index {number}: {chunks} chunks, summary in {body.id}"


@task("shop.search.index_chunk")
def index_chunk(number: int, chunk: int) -> int:
    """Index a chunk of the catalogue; gives the number of products in it."""
    chance = dice("chunk", number, chunk)
    work(chance.uniform(0.1, 0.8))
    return chance.randint(400, 500)


@task("shop.search.summarise")
def summarise(counts: list[int], number: int) -> dict[str, int]:
    """What a run of the index came to."""
    return {"index": number, "chunks": len(counts), "products": sum(counts)}


@task("shop.search.rebuild")
def rebuild(reason: str) -> str:
    """Rebuild the whole index; takes so long that somebody terminates it."""
    work(30.0)
    return f"rebuilt: {reason}"


@task("shop.search.feed_marketplaces")
def feed_marketplaces() -> dict[str, int]:
    """Tell market places what is new in the catalogue; beat sends it."""
    work(0.2)
    return {"products": 450, "marketplaces": 3}
