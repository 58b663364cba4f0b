"""What every store promises of sessions and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.conformance.store_rigs import StoreRig
from umbel.access.base import Credential, Kind, Vault, digest, new_secret

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def vault(rig: StoreRig) -> Iterator[Vault]:
    """Of a store that no collector has begun."""
    with closing(rig.vault()) as vault:
        yield vault


def made(owner: str = "ann", kind: Kind = Kind.SESSION, at: float = 1_000.0, lasts: float = 4e9) -> Credential:
    about = {"groups": ["ops", "日本"], "role": None, "n": 1}
    return Credential(digest(new_secret()), kind, owner, at, at + lasts, about)


def test_what_was_put_is_found_as_it_was_and_nothing_else_is(vault: Vault) -> None:
    one = made("Änne 'O\\Brien'; --")
    vault.put(one)
    assert vault.get(one.digest) == one
    assert vault.get(digest("another")) is None


def test_what_was_dropped_is_gone_for_good_even_if_it_is_put_or_dropped_again(vault: Vault) -> None:
    one, other = made(), made()
    vault.put(one)
    vault.put(other)
    vault.drop(one.digest)
    vault.drop(one.digest)
    vault.drop(digest("unknown"))
    assert vault.get(one.digest) is None
    assert vault.get(other.digest) == other


def test_all_of_one_owner_and_kind_are_dropped_and_no_others(vault: Vault) -> None:
    mine = [made("ann", at=at) for at in (1.0, 3.0, 2.0)]
    others = [made("bob"), made("ann", Kind.TOKEN), made("anne")]
    for one in (*mine, *others):
        vault.put(one)
    assert [one.created_at for one in vault.listed(Kind.SESSION, "ann")] == [3.0, 2.0, 1.0]
    vault.drop_all(Kind.SESSION, "ann")
    assert vault.listed(Kind.SESSION, "ann") == []
    assert {one.digest for kind in Kind for one in vault.listed(kind)} == {one.digest for one in others}


def test_what_has_expired_is_pruned(vault: Vault) -> None:
    # Far ahead, because a server's own clock may forget what is long over by itself.
    soon, later = made(at=4e9, lasts=1.0), made(at=4e9, lasts=10.0)
    vault.put(soon)
    vault.put(later)
    vault.prune(4e9 + 5)
    assert [one.digest for one in vault.listed(Kind.SESSION)] == [later.digest]


def test_every_web_on_the_store_sees_what_one_of_them_did_while_a_collector_has_it(rig: StoreRig) -> None:
    rig.writer()
    one = made()
    with closing(rig.vault()) as first, closing(rig.vault()) as second:
        first.put(one)
        assert second.get(one.digest) == one
        second.drop(one.digest)
        assert first.get(one.digest) is None
