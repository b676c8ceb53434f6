"""Certificates for tests of TLS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files: of an authority, and of 127.0.0.1, whose key lies beside it (`key`) or in the same file (`both`)."""

    authority: Path
    server: Path
    key: Path
    both: Path


def issued(folder: Path) -> Certificates:
    made = Certificates(*(folder / f"{name}.pem" for name in ("authority", "server", "key", "both")))
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(made.authority))
    certificate.cert_chain_pems[0].write_to_path(str(made.server))
    certificate.private_key_pem.write_to_path(str(made.key))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(made.both))
    return made
