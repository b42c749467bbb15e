"""A certificate authority of one running system, below its folder: for ./dev up --tls and for the tests."""
import os
import subprocess

from .layout import private_folder
from .say import DevError

DAYS = 825


class Authority:
    """`ca.pem` is what clients trust; issue() makes certificates of it. Keys are for their user alone."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._ca_key = folder / "ca.key"

    def ensure(self):
        """Makes the authority, once."""
        if self.ca.exists() and self._ca_key.exists():
            return
        private_folder(self.folder)
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
                 "-subj", "/CN=Millrace development CA", "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self._ca_key, "-out", self.ca)

    def server(self, name="server", hosts=("localhost", "127.0.0.1", "::1")):
        """(certificate, key) of a server; made again when its hosts are others."""
        names = ",".join(f"{'IP' if _is_number(host) else 'DNS'}:{host}" for host in hosts)
        return self._issue(name, f"/CN={hosts[0]}", f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")

    def client(self, name):
        """(certificate, key) of a device or a person."""
        return self._issue(name, f"/CN={name}", "extendedKeyUsage=clientAuth\n")

    def _issue(self, name, subject, extensions):
        self.ensure()
        certificate, key, asked = (self.folder / f"{name}{suffix}" for suffix in (".pem", ".key", ".ext"))
        text = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n" + extensions
        if certificate.exists() and key.exists() and asked.exists() and asked.read_text(encoding="utf-8") == text:
            return certificate, key
        self.renew(name, subject, text)
        return certificate, key

    def renew(self, name, subject, extensions):
        """A new certificate under a new key, in the place of the old one."""
        certificate, key, asked, request = (self.folder / f"{name}{suffix}" for suffix in (".pem", ".key", ".ext", ".csr"))
        asked.write_text(extensions, encoding="utf-8")
        fresh_key, fresh = key.with_suffix(".key.new"), certificate.with_suffix(".pem.new")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                 "-keyout", fresh_key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key, "-CAcreateserial",
                 "-days", DAYS, "-extfile", asked, "-out", fresh)
        request.unlink()
        # The key first: a server that looks in between finds two that do not fit and tries again.
        fresh_key.replace(key)
        fresh.replace(certificate)


def _is_number(host):
    return ":" in host or host.replace(".", "").isdigit()


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, preexec_fn=lambda: os.umask(0o077))
    if done.returncode != 0:
        raise DevError(f"openssl {arguments[0]} ended with {done.returncode}:\n{done.stderr}")
