"""A Kubernetes of its own in one folder: etcd, API server, controllers and scheduler are the real ones. The nodes are
played by kwok: it reports pods as started, ready, completed and gone, and runs nothing."""
import json
import os
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .processes import Process, sweep, wait_until
from .say import DevError
from .settings import free_ports

NODES = ("node-1", "node-2")
VOLUMES = 8
_PORTS = ("etcd", "etcd_peer", "api", "controllers", "scheduler", "kwok")


class Cluster:
    def __init__(self, programs: Path, folder: Path):
        self.folder = folder
        self._programs = programs
        self._ports = free_ports(_PORTS)
        self._processes = []
        self._certificates = folder / "certificates"
        self.kubeconfig = folder / "kubeconfig"

    def start(self):
        sweep(self.folder)  # of a run that was killed
        shutil.rmtree(self.folder, ignore_errors=True)
        self._certificates.mkdir(parents=True, mode=0o700)
        self._start_etcd()
        self._start_api()
        for name, extra in (("kube-controller-manager", self._controller_flags()), ("kube-scheduler", [])):
            port = self._ports["controllers" if extra else "scheduler"]
            self._start(name, [self._programs / name, f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
                               "--bind-address=127.0.0.1", f"--secure-port={port}",
                               f"--cert-dir={self._certificates / name}", *extra])
        self._start("kwok", [self._programs / "kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true",
                             f"--server-address=127.0.0.1:{self._ports['kwok']}", "--node-lease-duration-seconds=40"])
        self.kubectl("create", "--filename=-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": _machines()}))
        self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")

    def stop(self):
        """Ends everything; returns the names of what had to be killed."""
        return [process.name for process in reversed(self._processes) if not process.stop()]

    def check(self):
        """Every part still runs."""
        for process in self._processes:
            if not process.alive():
                raise DevError(f"{process.name} ended; see {process.log}")

    # --- asking it ---

    @property
    def environment(self):
        """For kubectl, in scripts too. HOME: its cache stays here."""
        return {"PATH": f"{self._programs}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8",
                "KUBECONFIG": str(self.kubeconfig)}

    def call(self, *arguments, given=None, cwd=None, timeout=600):
        try:
            return subprocess.run([self._programs / "kubectl", *map(str, arguments)], env=self.environment, input=given or "",
                                  capture_output=True, text=True, check=False, timeout=timeout, cwd=cwd)
        except subprocess.TimeoutExpired:
            raise DevError(f"kubectl {' '.join(map(str, arguments))} did not end within {timeout} s") from None

    def kubectl(self, *arguments, given=None, cwd=None):
        """What kubectl prints. A refusal and a warning are faults."""
        done = self.call(*arguments, given=given, cwd=cwd)
        if done.returncode != 0 or done.stderr.strip():
            raise DevError(f"kubectl {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout

    def objects(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    # --- its parts ---

    def _start(self, name, argv, env=None):
        process = Process(self.folder, name)
        self._processes.append(process)
        process.start(argv, env={**self.environment, **(env or {})}, cwd=self.folder)
        return process

    def _start_etcd(self):
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "etcd_peer"))
        etcd = self._start("etcd", ["/usr/bin/etcd", f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={client}",
                                    f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
                                    f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"])
        wait_until(lambda: _answers(client + "/health"), 60, "etcd to be ready", while_alive=etcd)

    def _start_api(self):
        key = self._certificates / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        token = secrets.token_hex(16)
        _write_private(self.folder / "tokens.csv", f"{token},admin,admin,system:masters\n")
        url = f"https://127.0.0.1:{self._ports['api']}"
        certificate = self._certificates / "apiserver.crt"
        _write_private(self.kubeconfig, json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "soak",
            "clusters": [{"name": "soak", "cluster": {"server": url, "certificate-authority": str(certificate)}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "soak", "context": {"cluster": "soak", "user": "admin"}}]}))
        api = self._start("kube-apiserver", [
            self._programs / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
            f"--secure-port={self._ports['api']}", f"--cert-dir={self._certificates}",
            f"--token-auth-file={self.folder / 'tokens.csv'}", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-account-issuer=https://kubernetes.default.svc"])
        wait_until(lambda: certificate.exists() and self.call("get", "--raw=/readyz").returncode == 0, 120,
                   "the API server to be ready", interval=0.3, while_alive=api)

    def _controller_flags(self):
        return [f"--service-account-private-key-file={self._certificates / 'service-accounts.key'}",
                f"--root-ca-file={self._certificates / 'apiserver.crt'}"]


def _machines():
    """Nodes, and disks for them: nothing here provides volumes when they are asked for."""
    size = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    nodes = [{"apiVersion": "v1", "kind": "Node",
              "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
              "status": {"capacity": size, "allocatable": size}} for name in NODES]
    disks = [{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"disk-{number}"},
              "spec": {"capacity": {"storage": "100Gi"}, "accessModes": ["ReadWriteOnce"],
                       "hostPath": {"path": f"/nonexistent/disk-{number}"}}} for number in range(VOLUMES)]
    return nodes + disks


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def _write_private(path, text):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
