"""What a certificate says that a client uploads: read with `cryptography`, which is imported only then."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def read_certificate(name: str, value: str, password: str, now: datetime) -> Json:
    """The properties that are answered of a certificate with its private key, PFX or PEM. Raises ArmError."""
    try:
        data = base64.b64decode(value, validate=True)
        certificate, has_key = _pem(data) if b"-----BEGIN" in data else _pfx(data, password)
    except (ValueError, binascii.Error):
        message = f"The certificate {name} is invalid or password is incorrect."
        raise ArmError(400, "InvalidCertificate", message) from None
    if not has_key:
        message = "Certificate must contain one private key."
        raise ArmError(400, "CertificateMustContainOnePrivateKey", message)
    return _described(certificate, now)


def _pfx(data: bytes, password: str) -> tuple[Certificate, bool]:
    """Raises ValueError."""
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

    key, certificate, _ = load_key_and_certificates(data, password.encode() or None)
    if certificate is None:
        raise ValueError("no certificate")
    return certificate, key is not None


def _pem(data: bytes) -> tuple[Certificate, bool]:
    """Raises ValueError."""
    from cryptography.x509 import load_pem_x509_certificates

    return load_pem_x509_certificates(data)[0], b"PRIVATE KEY-----" in data


def _described(certificate: Certificate, now: datetime) -> Json:
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName

    try:
        extension = certificate.extensions.get_extension_for_class(SubjectAlternativeName)
        others = extension.value.get_values_for_type(DNSName)
    except ExtensionNotFound:
        others = []
    public_key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return {
        "subjectName": certificate.subject.rfc4514_string(),
        "subjectAlternativeNames": others,
        "issuer": certificate.issuer.rfc4514_string(),
        "issueDate": f"{begins:%Y-%m-%dT%H:%M:%S}",
        "expirationDate": f"{ends:%Y-%m-%dT%H:%M:%S}",
        "thumbprint": certificate.fingerprint(SHA1()).hex().upper(),  # noqa: S303 - what Azure shows
        "publicKeyHash": hashlib.sha256(public_key).hexdigest(),
        "valid": begins <= now <= ends,
    }
