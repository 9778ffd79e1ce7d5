"""What keeps strangers out of the embedded store: every port of it asks for a key that lies in its folder.

S3 asks for its access key, and the parts' HTTP for tokens that are signed with one key. Between themselves the parts
speak gRPC, over which a collection can be deleted: that is TLS, on which both sides show the store's certificate.
"""

import datetime
import os
from ipaddress import ip_address
from pathlib import Path

SECURITY = "security.toml"
_CERTIFICATE, _KEY = "parts.crt", "parts.key"
_TOKENS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "mq", "msg_broker", "msg_agent", "client")
_YEARS = 20


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def write_keys(directory: Path, signing_key: str) -> None:
    """Write ``security.toml``, which the store reads in its own folder, and the certificate that it names."""
    _write_certificate(directory)
    tokens = [f'[{name}]\nkey = "{signing_key}"\n' for name in _TOKENS]
    # Relative names: the store runs in its folder, whose path may hold anything.
    own = f'cert = "{_CERTIFICATE}"\nkey = "{_KEY}"\n'
    parts = [f"[grpc.{name}]\n{own}" for name in _PARTS]
    write_secret(directory / SECURITY, "".join([*tokens, f'[grpc]\nca = "{_CERTIFICATE}"\n', *parts]))


def _write_certificate(directory: Path) -> None:
    """Write a self-signed certificate, new with every start: whoever has it is a part of this store."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ranklift embedded store")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(hosts, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
    write_secret(directory / _CERTIFICATE, certificate.public_bytes(encoding).decode("ascii"))
    write_secret(directory / _KEY, private.decode("ascii"))
