"""deploy/kubernetes without a cluster: kustomize renders it, kubernetes-validate holds it against Kubernetes' schemas, and
manifest_rules against our own rules. A cluster of its own tries it in ./dev soak kubernetes."""
import contextlib
import copy
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import manifest_rules, toolchain
from .say import DevError

BASE = "base"
OVERLAYS = ("overlays/single-node",)
# The overlay with the pod that an operator starts for `millrace admin`.
ADMIN = "overlays/single-node-admin"
SCHEMAS = "1.34"


@contextlib.contextmanager
def copy_with_secrets(layout):
    """A copy of deploy/kubernetes in which the overlays have secrets, so that a check never meets somebody's own."""
    with tempfile.TemporaryDirectory(prefix="millrace-kubernetes-") as folder:
        copied = Path(folder) / "kubernetes"
        copy_to(layout, copied)
        for overlay in OVERLAYS:
            make_secrets(copied / overlay)
        yield copied


def copy_to(layout, folder):
    """deploy/kubernetes as it is, without anybody's secrets; beside it what its overlays take from deploy/postgres."""
    shutil.copytree(layout.deploy / "kubernetes", folder, ignore=shutil.ignore_patterns("secrets", ".secrets.*"))
    shutil.copytree(layout.deploy / "postgres", folder.parent / "postgres")


def make_secrets(overlay):
    done = subprocess.run([overlay / "make-secrets"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevError(f"make-secrets ended with {done.returncode}: {done.stderr.strip()}")


def render(kustomize, folder):
    """The objects of a kustomization."""
    import yaml  # of the distribution; not there yet when ./dev begins on a bare machine
    done = subprocess.run([kustomize, "build", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevError(f"kustomize build {folder.name}: {done.stderr.strip()}")
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    for one in objects:
        if one["kind"] == "Secret":  # kustomize breaks long values over lines
            one["data"] = {key: "".join(value.split()) for key, value in one["data"].items()}
    return objects


def schema_faults(validate, objects):
    """What does not fit Kubernetes' schemas; unknown and doubled fields do not."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write("\n---\n".join(json.dumps(one) for one in objects))
        file.flush()
        done = subprocess.run([validate, "--strict", "-k", SCHEMAS, file.name], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    passed = sum(" passed for resource " in line for line in lines)
    faults = [line for line in lines if " passed for resource " not in line]
    if done.returncode != 0 and not faults:
        faults = [f"kubernetes-validate ended with {done.returncode}"]
    if not faults and passed != len(objects):
        faults = [f"{passed} of {len(objects)} objects were looked at"]
    return faults


def cases(layout):
    """(name, faults) of each check, for the label lint."""
    kustomize, validate = toolchain.install_manifest_checks(layout)
    with copy_with_secrets(layout) as folder:
        rendered = {name: render(kustomize, folder / name) for name in (BASE, *OVERLAYS, ADMIN)}
    for name, objects in rendered.items():
        yield f"kubernetes {name}: schemas", schema_faults(validate, objects)
        yield f"kubernetes {name}: rules", manifest_rules.faults(layout, objects, whole=name != BASE)
    yield "kubernetes: faults are seen", _unseen(layout, validate, rendered[ADMIN])


# --- the checks checked ---

def _find(objects, kind, name):
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)


def _pod(objects, name="storage-writer"):
    return _find(objects, "StatefulSet", name)["spec"]["template"]["spec"]


def _set_env(objects, name, value):
    container = _pod(objects)["containers"][0]
    container["env"] = [one for one in container["env"] if one["name"] != name] + [{"name": name, "value": value}]


BREAKS = {
    "service links": lambda all_: _pod(all_).pop("enableServiceLinks"),
    "a mounted token": lambda all_: _pod(all_).pop("automountServiceAccountToken"),
    "no readiness probe": lambda all_: _pod(all_)["containers"][0].pop("readinessProbe"),
    "a probe of another path": lambda all_: _pod(all_)["containers"][0]["livenessProbe"]["httpGet"].update(path="/readyz"),
    "a pod of its own that is root": lambda all_: _find(all_, "Pod", "admin")["spec"]["securityContext"].update(runAsUser=0),
    "no memory limit": lambda all_: _pod(all_)["containers"][0]["resources"]["limits"].pop("memory"),
    "a request above its limit": lambda all_: _pod(all_)["containers"][0]["resources"]["requests"].update(memory="8Gi"),
    "a writable root": lambda all_: _pod(all_)["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False),
    "a kept capability": lambda all_: _pod(all_)["containers"][0]["securityContext"].update(capabilities={"drop": ["KILL"]}),
    "no seccomp profile": lambda all_: _pod(all_)["securityContext"].pop("seccompProfile"),
    "root": lambda all_: _pod(all_)["securityContext"].update(runAsUser=0),
    "a folder of the node": lambda all_: _pod(all_, "kafka")["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "a literal secret": lambda all_: _set_env(all_, "MILLRACE_STORAGE_WRITER_DATABASE_URL", "postgresql://a:b@c/d"),
    "an unknown setting": lambda all_: _set_env(all_, "MILLRACE_STORAGE_WRITER_BATCH_ROW", "100"),
    "a setting out of bounds": lambda all_: _set_env(all_, "MILLRACE_STORAGE_WRITER_BATCH_ROWS", "1"),
    "another service's setting": lambda all_: _set_env(all_, "MILLRACE_QUERY_API_LOG_LEVEL", "info"),
    "too little time to stop": lambda all_: _pod(all_).update(terminationGracePeriodSeconds=30),
    "a port nobody listens on": lambda all_: _pod(all_)["containers"][0]["ports"][0].update(containerPort=9999),
    "a selector without pods": lambda all_: _find(all_, "Service", "notifier")["spec"]["selector"].update(x="y"),
    "a budget without pods": lambda all_: _find(all_, "PodDisruptionBudget", "notifier")["spec"]["selector"]["matchLabels"]
    .update(x="y"),
    "a budget that stops a drain": lambda all_: _find(all_, "PodDisruptionBudget", "notifier")["spec"].update(maxUnavailable=0),
    "a policy for a port that is not there": lambda all_: _find(all_, "NetworkPolicy", "services-to-kafka")["spec"]["ingress"][0]
    .update(ports=[{"port": "kafak"}]),
    "an image without a tag": lambda all_: _pod(all_)["containers"][0].update(image="millrace/storage-writer"),
    "a missing secret": lambda all_: all_.remove(next(one for one in all_ if one["kind"] == "Secret")),
    "a missing service": lambda all_: all_.remove(_find(all_, "StatefulSet", "notifier")),
    "another namespace": lambda all_: _find(all_, "Service", "notifier")["metadata"].update(namespace="default"),
}


def _unseen(layout, validate, objects):
    """Breaks one thing after another; returns those that nobody noticed."""
    unseen = []
    for name, break_it in BREAKS.items():
        broken = copy.deepcopy(objects)
        break_it(broken)
        if not manifest_rules.faults(layout, broken, whole=True):
            unseen.append(f"not noticed: {name}")
    misspelt = copy.deepcopy(objects)
    _pod(misspelt)["enableServiceLink"] = False
    if not schema_faults(validate, misspelt):
        unseen.append("not noticed: a misspelt field")
    return unseen
