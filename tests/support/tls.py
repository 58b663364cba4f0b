"""A certificate authority that lives as long as the tests, and a certificate of 127.0.0.1 from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of one server."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Self:
        """Write the three files into `directory`; the certificate names 127.0.0.1 and localhost."""
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost")
        made = cls(directory / "ca.pem", directory / "server.pem", directory / "server.key")
        authority.cert_pem.write_to_path(made.authority)
        server.private_key_pem.write_to_path(made.key)
        made.certificate.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
        return made
