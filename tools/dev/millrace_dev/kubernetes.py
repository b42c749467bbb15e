"""./dev soak kubernetes: deploy/kubernetes against the real API server, controllers and scheduler; the shell blocks of the
docs that say `sh kubernetes` are run on it, as pasted."""
import json
import re
import subprocess
import time

from . import docs, manifests, say, toolchain
from .cluster import Cluster
from .manifest_rules import NAMESPACE, WORKLOADS, containers
from .processes import wait_until
from .say import DevError

NAME = "kubernetes"


class Soak:
    def __init__(self, layout):
        self._layout = layout
        self._cluster = None
        self.proved = []  # (what, figure)

    def run(self):
        programs = toolchain.install_kubernetes(self._layout)
        kustomize, _ = toolchain.install_manifest_checks(self._layout)
        self._cluster = Cluster(programs, self._layout.soak / NAME)
        try:
            with say.Step("etcd, API server, controllers, scheduler, kwok"):
                self._cluster.start()
            self._prove("API server", json.loads(self._cluster.kubectl("get", "--raw=/version"))["gitVersion"])
            with manifests.copy_with_secrets(self._layout) as folder:
                self._dry_run(kustomize, folder)
            # A folder as a user has it, without secrets: the docs' first block makes them.
            work = self._cluster.folder / "work"
            manifests.copy_to(self._layout, work / "deploy" / NAME)
            self._docs(work)
            overlay = work / "deploy" / NAME / manifests.OVERLAYS[0]
            # The docs scale something; an apply takes that back.
            self._cluster.kubectl("apply", "--kustomize", overlay)
            self._kept_and_ready(overlay, manifests.render(kustomize, overlay))
            self._several_of_each(kustomize, work / "my-cluster")
            self._cluster.check()
        finally:
            forced = self._cluster.stop()
            if forced:
                say.warn(f"killed: {', '.join(forced)}")
        return 0

    def _prove(self, what, figure):
        self.proved.append((what, figure))
        say.line(f"  {what}: {figure}")

    # --- without changing anything ---

    def _dry_run(self, kustomize, folder):
        namespace = folder / manifests.BASE / "namespace.yaml"
        self._cluster.kubectl("apply", "--filename", namespace)
        self._cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={NAMESPACE}", "--timeout=300s")
        self._violations_are_seen()
        for name in (manifests.BASE, *manifests.OVERLAYS, manifests.ADMIN):
            self._keep_accounts(manifests.render(kustomize, folder / name))
            printed = self._cluster.kubectl("apply", "--dry-run=server", "--kustomize", folder / name)
            accepted = len(re.findall(r" (?:created|configured|unchanged) \(server dry run\)$", printed, re.M))
            wanted = len(manifests.render(kustomize, folder / name))
            if accepted != wanted:
                raise DevError(f"{name}: {accepted} of {wanted} objects were accepted:\n{printed}")
            self._prove(f"{name}: objects accepted without a warning (dry run)", f"{accepted} of {wanted}")

    def _keep_accounts(self, objects):
        """A pod without a controller is accepted only where its service account is, and a dry run keeps none."""
        for account in (one for one in objects if one["kind"] == "ServiceAccount"):
            self._cluster.kubectl("apply", "--filename=-", given=json.dumps(account))

    def _violations_are_seen(self):
        """That no warning came would mean nothing where nobody warns."""
        container = {"name": "x", "image": "x:1"}  # may be root, keeps its capabilities, has no seccomp profile
        labels = {"app": "x"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": NAMESPACE},
                      "spec": {"selector": {"matchLabels": labels}, "template": template}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": NAMESPACE}, "spec": template["spec"]}
        warned, refused = (self._cluster.call("create", "--dry-run=server", "--filename=-", given=json.dumps(one))
                           for one in (deployment, pod))
        if "would violate PodSecurity" not in warned.stderr or warned.returncode != 0:
            raise DevError(f"a Deployment of careless pods brought no warning: {warned.stderr}")
        if "violates PodSecurity" not in refused.stderr or refused.returncode == 0:
            raise DevError(f"a careless pod was not refused: {refused.stderr}")
        self._prove("Pod Security Standard", "restricted: warned of and refused what violates it")

    # --- for real ---

    def _docs(self, work):
        ours = [block for block in docs.blocks(self._layout.root) if block.soak == NAME]
        if not ours:
            raise DevError("the docs hold no block for this soak")
        for block in ours:
            begun = time.monotonic()
            try:
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], env=self._cluster.environment, cwd=work,
                                      text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=900, check=False)
            except subprocess.TimeoutExpired:
                raise DevError(f"{block.place} did not end within 15 minutes\n{self._state()}") from None
            if done.returncode != 0 or "Warning" in done.stderr:
                raise DevError(f"{block.place} ended with {done.returncode}:\n{block.text}\n{done.stdout[-3000:]}\n"
                               f"{done.stderr[-3000:]}\n{self._state()}")
            self._prove(f"{block.place}: as pasted", f"{time.monotonic() - begun:.0f} s")

    def _state(self):
        """What there is, for whoever looks for a fault."""
        return "".join(self._cluster.call(*arguments).stdout[-4000:] for arguments in (
            ("get", "pods,persistentvolumeclaims,jobs", "--all-namespaces", "--output=wide"),
            ("get", "events", "--all-namespaces", "--field-selector=type=Warning")))

    def _kept_and_ready(self, kustomization, wanted):
        self._read_back(kustomization.name, wanted)
        self._ready(kustomization.name, wanted)
        self._again(kustomization, wanted)

    def _several_of_each(self, kustomize, kustomization):
        """The overlay that the docs write for a cluster: two of each service, and a node is drained below them."""
        self._cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=300s")
        wanted = manifests.render(kustomize, kustomization)
        self._cluster.kubectl("create", "--save-config", "--filename=-", given=json.dumps(
            next(one for one in wanted if one["kind"] == "Namespace")))
        for name, key in sorted(_secrets(wanted)):
            self._cluster.kubectl("create", "secret", "generic", name, f"--from-literal={key}=x", f"--namespace={NAMESPACE}")
        self._cluster.kubectl("apply", "--kustomize", kustomization)
        self._cluster.kubectl("wait", "--for=condition=complete", "job/setup", f"--namespace={NAMESPACE}", "--timeout=300s")
        self._kept_and_ready(kustomization, wanted)
        node = self._cluster.objects("pod", "protocol-gateway-0", f"--namespace={NAMESPACE}")["spec"]["nodeName"]
        drained = self._cluster.call("drain", node, "--timeout=300s")
        if drained.returncode != 0:
            raise DevError(f"{node} could not be drained: {drained.stderr}")
        self._ready(kustomization.name, wanted)
        pods = self._cluster.objects("pods", f"--namespace={NAMESPACE}")["items"]
        if any(pod["spec"]["nodeName"] == node and pod["status"]["phase"] == "Running" for pod in pods):
            raise DevError(f"pods are left on {node}, which was drained")
        self._prove(f"{kustomization.name}: a drain under the budgets, pods evicted",
                    len(re.findall(r" evicted$", drained.stdout, re.M)))

    def _read_back(self, where, wanted):
        """The cluster holds what was rendered."""
        for one in wanted:
            kept = self._kept(one)
            lost = list(_differences(one, kept))
            if lost and one["kind"] == "Secret":
                raise DevError(f"Secret {one['metadata']['name']} was not kept as it was given")
            if lost:
                raise DevError(f"{one['kind']} {one['metadata']['name']} was not kept as it was given: {'; '.join(lost[:5])}")
        self._prove(f"{where}: objects read back, every field as it was given", len(wanted))

    def _ready(self, where, wanted):
        """The controllers made of it what it says."""
        workloads = [one for one in wanted if one["kind"] in WORKLOADS]
        names = [f"{one['kind'].lower()}/{one['metadata']['name']}" for one in workloads]

        def ready():
            return all(one["status"].get(key, 0) == one["spec"]["replicas"]
                       for one in self._cluster.objects(*names, f"--namespace={NAMESPACE}")["items"]
                       for key in ("replicas", "readyReplicas", "updatedReplicas"))
        wait_until(ready, 300, "all replicas to be ready", interval=0.5)
        pods = self._cluster.objects("pods", f"--namespace={NAMESPACE}")["items"]
        running = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
        if "stream-processing-0" not in running:
            raise DevError(f"no pod has the name that stream-processing's group knows it by: {running}")
        self._prove(f"{where}: pods admitted, scheduled and (by kwok) ready", len(running))

        def budgets():
            return self._cluster.objects("poddisruptionbudgets", f"--namespace={NAMESPACE}")["items"]
        wait_until(lambda: all(one["status"].get("expectedPods", 0) >= 1 and one["status"]["disruptionsAllowed"] >= 1
                               for one in budgets()), 300, "all disruption budgets to let one pod go", interval=0.5)
        self._prove(f"{where}: disruption budgets with pods, and with leave for one to go", len(budgets()))

    def _kept(self, one):
        metadata = one["metadata"]
        place = [f"--namespace={metadata['namespace']}"] if "namespace" in metadata else []
        group = one["apiVersion"].partition("/")
        kind = one["kind"] + (f".{group[2]}.{group[0]}" if group[2] else "")
        return self._cluster.objects(kind, metadata["name"], *place)

    def _again(self, kustomization, wanted):
        """What was applied once is left alone by another apply: it names no field that the server keeps in another form.
        (kubectl itself says `configured` of every list that it cannot merge.)"""
        def marks():
            kept = [(one["kind"], one["metadata"]["name"], self._kept(one)["metadata"]) for one in wanted]
            return {(kind, name): one.get("generation", one["resourceVersion"]) for kind, name, one in kept
                    if kind != "Namespace"}  # has no generation, and its controller notes things in its status
        before = marks()
        self._cluster.kubectl("apply", "--kustomize", kustomization)
        changed = [f"{kind} {name}" for (kind, name), mark in marks().items() if before[kind, name] != mark]
        if changed:
            raise DevError("a second apply changed: " + ", ".join(changed))
        self._prove(f"{kustomization.name}: a second apply", f"left {len(before)} objects as they are")


def _secrets(objects):
    """(name, key) of every Secret that pods refer to."""
    return {(source["name"], source["key"]) for one in objects if one["kind"] in (*WORKLOADS, "Job")
            for container in containers(one["spec"]["template"]) for variable in container.get("env", [])
            if (source := variable.get("valueFrom", {}).get("secretKeyRef"))}


def _differences(wanted, kept, path=""):
    """Where `kept` lacks or changed something of `wanted`; what the server added is its own."""
    if isinstance(wanted, dict):
        if not isinstance(kept, dict):
            yield f"{path} is {kept!r}"
            return
        for key, value in wanted.items():
            if key not in kept:
                if value not in ({}, [], None):
                    yield f"{path}.{key} is missing"
            else:
                yield from _differences(value, kept[key], f"{path}.{key}")
    elif isinstance(wanted, list):
        if not isinstance(kept, list) or len(wanted) != len(kept):
            yield f"{path} has another length"
            return
        for index, (one, other) in enumerate(zip(wanted, kept)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif wanted != kept:
        yield f"{path} is {kept!r}, given was {wanted!r}"
