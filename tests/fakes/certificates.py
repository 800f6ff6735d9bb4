"""Certificates for TLS on loopback, created on demand."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey
USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
OF_AN_AUTHORITY = ("key_cert_sign", "crl_sign")
KEY_USAGE = x509.KeyUsage(
    **dict.fromkeys(USES, False), **dict.fromkeys(OF_AN_AUTHORITY, True), encipher_only=False, decipher_only=False
)


class Certificates:
    """In folders below `folder`: `server` for dockerd or a registry, `client` for Cronium, and `stranger` of another
    authority. They are valid for the IP address `address`."""

    def __init__(self, folder: Path, *, key_identifiers: bool = True, address: str = "127.0.0.1") -> None:
        self.folder, self._key_identifiers, self._address = folder, key_identifiers, address
        for authority, holders in (("ours", ("server", "client")), ("theirs", ("stranger",))):
            key = ec.generate_private_key(ec.SECP256R1())
            root = self._certificate(authority, key, authority, key)
            for holder in holders:
                own = ec.generate_private_key(ec.SECP256R1())
                self._write(holder, root, self._certificate(holder, own, authority, key), own)

    def _write(
        self, holder: str, root: x509.Certificate, own: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        folder = self.folder / holder
        folder.mkdir()
        (folder / "ca.pem").write_bytes(root.public_bytes(pem))
        (folder / "cert.pem").write_bytes(own.public_bytes(pem))
        (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))

    def of_dockerd(self, port: int) -> list[str]:
        """The arguments of dockerd for listening on loopback, for clients with certificates of this authority."""
        here = self.folder / "server"
        files = [f"--tlscacert={here}/ca.pem", f"--tlscert={here}/cert.pem", f"--tlskey={here}/key.pem"]
        return ["--tlsverify", *files, "-H", f"tcp://127.0.0.1:{port}"]

    def _certificate(self, holder: str, key: Key, authority: str, signer: Key) -> x509.Certificate:
        """Valid for one day."""
        now = datetime.datetime.now(datetime.UTC)
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (holder, authority))
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address(self._address))])
        begun = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        begun = begun.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        begun = begun.not_valid_after(now + datetime.timedelta(days=1)).add_extension(here, critical=False)
        begun = begun.add_extension(x509.BasicConstraints(ca=holder == authority, path_length=None), critical=True)
        if not self._key_identifiers:
            return begun.sign(signer, hashes.SHA256())
        # From Python 3.13 on, certificates are checked strictly: without these they are refused.
        begun = begun.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        begun = begun.add_extension(signed_by, critical=False)
        if holder == authority:
            begun = begun.add_extension(KEY_USAGE, critical=True)
        return begun.sign(signer, hashes.SHA256())
