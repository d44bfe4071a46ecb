"""An authority that gives certificates: Debian's pebble, Let's Encrypt's own server for tests, and a name server that leads every name
to this machine."""

import contextlib
import datetime
import json
import os
import pathlib
import ssl
import subprocess
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server import DEADLINE, free_port


class Authority:
    """`pebble` on ports of its own. It looks for proofs at `proof_port`, whatever the name, and forgets all when it ends."""

    def __init__(self, folder: pathlib.Path, proof_port: int, validity: int | None = None, port: int | None = None):
        self.folder, self.proof_port, self.validity = folder, proof_port, validity
        self.port, self.management, self.dns = port or free_port(), free_port(), free_port()
        self.url = f"https://localhost:{self.port}/dir"
        self.ca_file = folder / "authority-ca.pem"
        self.processes: list[subprocess.Popen] = []
        if not self.ca_file.exists():
            certify(folder, self.ca_file)

    @contextlib.contextmanager
    def running(self):
        config = self.folder / f"pebble-{self.management}.json"
        config.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.folder / "authority.pem"), "privateKey": str(self.folder / "authority.key"),
            "httpPort": free_port(), "tlsPort": self.proof_port, "ocspResponderURL": "", "externalAccountBindingRequired": False,
            **({} if self.validity is None else {"certificateValidityPeriod": self.validity}),
        }}))
        names = ["-dns01", f"127.0.0.1:{self.dns}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "",
                 "-tlsalpn01", "", "-management", f"127.0.0.1:{free_port()}"]
        log = (self.folder / "pebble.log").open("a")
        try:
            self._start(log, "pebble-challtestsrv", *names)
            self._start(log, "pebble", "-config", str(config), "-dnsserver", f"127.0.0.1:{self.dns}")
            self._await()
            yield self
        finally:
            for process in self.processes:
                process.terminate()
                process.wait(timeout=DEADLINE)
            self.processes.clear()

    def _start(self, log, *command: str):
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1"}
        self.processes.append(subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _await(self):
        end = time.monotonic() + DEADLINE
        while True:
            try:
                self._get(f"https://localhost:{self.port}/dir")
                return
            except OSError:
                assert all(process.poll() is None for process in self.processes), (self.folder / "pebble.log").read_text()[-2000:]
                assert time.monotonic() < end, "pebble does not answer"

    def _get(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=DEADLINE, context=ssl.create_default_context(cafile=self.ca_file)) as answer:
            return answer.read()

    def trusting(self) -> ssl.SSLContext:
        """What trusts the certificates that it gives, and no others."""
        root = self._get(f"https://localhost:{self.management}/roots/0").decode()
        return ssl.create_default_context(cadata=root)


def certify(folder: pathlib.Path, ca_file: pathlib.Path):
    """The certificate of the authority's own HTTPS, by a root of its own."""
    now = datetime.datetime.now(datetime.UTC)

    def made(subject: str, key, issuer: str, signer, is_ca: bool):
        name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False))
        if is_ca:
            usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                                   "encipher_only", "decipher_only", "crl_sign"), False)
            builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_file.write_bytes(made("a root for tests", root, "a root for tests", root, True))
    (folder / "authority.pem").write_bytes(made("localhost", own, "a root for tests", root, False))
    (folder / "authority.key").write_bytes(own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
