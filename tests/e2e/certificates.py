# SPDX-License-Identifier: MIT
"""Certificates made with the openssl program, and what that program sees of a server."""
import pathlib
import subprocess

from fleet import wait_until


def openssl(*arguments, check=True):
    return subprocess.run(["openssl", *map(str, arguments)], check=check, capture_output=True, text=True, timeout=30)


class Authority:
    """A certificate authority below `folder`."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate = self.folder / f"{name}.pem"
        self._key = self.folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate)

    def issue(self, name, host, file_name=None):
        """A certificate of that common name for an address, and its key: two paths."""
        certificate, key = (self.folder / f"{file_name or name}.{ending}" for ending in ("crt", "key"))
        request, extension = self.folder / "request.pem", self.folder / "extension"
        extension.write_text(f"subjectAltName=IP:{host}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-days", "2",
                "-extfile", extension, "-out", certificate)
        key.chmod(0o600)
        return certificate, key


def serial_of(certificate_file):
    return openssl("x509", "-in", certificate_file, "-noout", "-serial").stdout.strip()


def _client(address, authority, *options):
    return ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-CAfile", str(authority), *options]


def ask_with_openssl(address, authority, *options):
    """All that `openssl s_client` prints when it asks for /healthz."""
    request = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    done = subprocess.run([*_client(address, authority, *options), "-ign_eof"], input=request, capture_output=True,
                          text=True, timeout=30, check=False)
    return done.stdout + done.stderr


def renegotiate_with_openssl(address, authority):
    """All that it prints when it asks for a new handshake first and then for /healthz, in TLS 1.2."""
    log = pathlib.Path(authority).with_name("renegotiation.log")
    with open(log, "w", encoding="utf-8") as out, subprocess.Popen(
            _client(address, authority, "-tls1_2"), stdin=subprocess.PIPE, stdout=out, stderr=out, text=True) as client:
        try:
            wait_until(lambda: "Verify return code" in log.read_text(), 60, "the first handshake is done")
            client.stdin.write("R\n")
            client.stdin.flush()
            wait_until(lambda: "RENEGOTIATING" in log.read_text(), 60, "openssl asks for a new handshake")
            try:
                client.stdin.write("GET /healthz HTTP/1.0\r\n\r\n")
                client.stdin.close()
            except BrokenPipeError:
                pass  # it has given up already
            client.wait(timeout=10)
        finally:
            client.kill()
    return log.read_text()
