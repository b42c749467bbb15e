"""Our own rules for the objects of deploy/kubernetes. Each function yields the faults it finds as text."""
import functools
import re
import subprocess

from .services import DESCRIPTIONS

NAMESPACE = "millrace"
WORKLOADS = ("Deployment", "StatefulSet")
IMAGES = "millrace/"
# What a value of another object stands for while a service checks its configuration.
STAND_INS = {"secretKeyRef": "postgresql://role:password@server:5432/database", "fieldRef": "name-0"}


def faults(layout, objects, whole):
    """`whole`: nothing that an object refers to may be missing. The base alone refers to Secrets that an overlay has."""
    found = []
    pods = [(one, one["spec"]["template"]) for one in objects if one["kind"] in (*WORKLOADS, "Job")]
    pods += [(one, one) for one in objects if one["kind"] == "Pod"]
    for owner, template in pods:
        where = f"{owner['kind']} {owner['metadata']['name']}"
        for rule in (_identity, _restricted, _resources, _names_of_ports):
            found += [f"{where}: {text}" for text in rule(owner, template)]
        found += [f"{where}: {text}" for text in _images(layout, template)]
        found += [f"{where}: {text}" for text in _references(objects, owner, template, whole)]
        found += [f"{where}: {text}" for text in _settings(layout, objects, owner, template)]
        if owner["kind"] in WORKLOADS:
            found += [f"{where}: {text}" for text in _probes(template)]
            found += [f"{where}: {text}" for text in _selectors(objects, owner, template)]
    for one in objects:
        found += [f"{one['kind']} {one['metadata']['name']}: {text}" for text in _object(one, objects, pods)]
    found += _everything(objects, whole)
    return found


# --- one pod ---

def containers(template):
    return template["spec"].get("initContainers", []) + template["spec"]["containers"]


def _identity(_owner, template):
    spec = template["spec"]
    if spec.get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false: the services refuse the variables that come with it"
    if spec.get("automountServiceAccountToken") is not False:
        yield "it gets a token of the cluster"
    if spec.get("serviceAccountName", "default") == "default":
        yield "it has no service account of its own"
    if template["metadata"]["labels"].get("app.kubernetes.io/part-of") != NAMESPACE:
        yield "the label app.kubernetes.io/part-of is missing"


def _restricted(_owner, template):
    """The Pod Security Standard `restricted`, and a root file system that cannot be written."""
    spec = template["spec"]
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "runAsNonRoot with a runAsUser other than 0 is missing"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "seccompProfile is not RuntimeDefault"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key} is set"
    for volume in spec.get("volumes", []):
        if not set(volume) & {"configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim"}:
            yield f"volume {volume['name']} is of a kind that is not allowed"
    for container in containers(template):
        own = container.get("securityContext", {})
        if own != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}:
            yield f"{container['name']}: its securityContext is not the restricted one"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{container['name']}: a port of the node"


_UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def _quantity(text):
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) * _UNITS[unit]


def _resources(_owner, template):
    for container in containers(template):
        resources = container.get("resources", {})
        for kind in ("cpu", "memory"):
            low, high = (resources.get(side, {}).get(kind) for side in ("requests", "limits"))
            if low is None or high is None:
                yield f"{container['name']}: no request or no limit of {kind}"
            elif _quantity(low) > _quantity(high):
                yield f"{container['name']}: it requests more {kind} than its limit"


def _ports(template):
    """(name, protocol) → number of every port of the pod."""
    return {(port["name"], port.get("protocol", "TCP")): port["containerPort"]
            for container in containers(template) for port in container.get("ports", [])}


def _names_of_ports(_owner, template):
    ports = _ports(template)
    declared = sum(len(container.get("ports", [])) for container in containers(template))
    if len(ports) != declared:
        yield "two ports have one name"
    annotations = template["metadata"].get("annotations", {})
    if ("ops", "TCP") in ports:
        wanted = {"prometheus.io/scrape": "true", "prometheus.io/port": str(ports["ops", "TCP"]),
                  "prometheus.io/path": "/metrics"}
        if not wanted.items() <= annotations.items():
            yield "Prometheus is not told where the metrics are"


def _probes(template):
    for container in template["spec"]["containers"]:
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.get(name)
            if probe is None:
                yield f"{container['name']}: no {name}"
            elif container["image"].startswith(IMAGES):
                path = "/readyz" if name == "readinessProbe" else "/livez"
                if probe.get("httpGet") != {"path": path, "port": "ops"}:
                    yield f"{container['name']}: {name} does not ask {path} of the ops port"


def _images(layout, template):
    version = re.search(r"project\(millrace VERSION (\S+)", (layout.root / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
    kafka = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([^<]+)<",
                      (layout.deploy / "kafka" / "pom.xml").read_text(encoding="utf-8"))[1]
    for container in containers(template):
        name, _, tag = container["image"].partition(":")
        wanted = version if name.startswith(IMAGES) else kafka if name == "apache/kafka" else tag
        if not re.match(r"\d", tag) or tag != wanted:
            yield f"{container['name']}: image {container['image']}, wanted is tag {wanted or 'of a release'}"


# --- what the programs say to their settings ---

def _settings(layout, objects, owner, template):
    spec = template["spec"]
    for container in containers(template):
        env = {one["name"]: one for one in container.get("env", [])}
        for name, one in env.items():
            if "value" in one and (re.search(r"PASSWORD|SECRET|TOKEN|_KEY$", name)
                                   or re.search(r"://[^/@]*:[^/@]*@", one["value"])):
                yield f"{container['name']}: {name} is a secret by value"
        image = container["image"].partition(":")[0].removeprefix(IMAGES)
        ours = {name: _value(objects, container, one) for name, one in env.items() if name.startswith("MILLRACE_")}
        if image == "tools":
            known = "".join(_printed(layout, "millrace", (*command, "--help"), ())[1] for command in ((), ("admin", "log")))
            yield from (f"{container['name']}: millrace does not know {name}" for name in ours
                        if not re.search(rf"\b{name}\b", known))
        elif image in DESCRIPTIONS:
            description = DESCRIPTIONS[image]
            strange = [name for name in ours if not name.startswith(description.prefix)]
            if strange:
                yield f"{container['name']}: {strange[0]} is not a setting of {image}"
            code, text = _printed(layout, image, ("--check-config",), tuple(sorted(ours.items())))
            if code != 0:
                yield f"{container['name']}: {text.strip()}"
                continue
            shown = _printed(layout, image, ("--print-config",), tuple(sorted(ours.items())))[1]
            values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
            yield from (f"{container['name']}: {name} is secret and comes from no Secret" for name, value in values.items()
                        if value == "***" and name in env and "secretKeyRef" not in env[name].get("valueFrom", {}))
            if owner["kind"] in WORKLOADS:
                yield from _of_a_service(description, spec, container, env, values)


def _of_a_service(description, spec, container, env, values):
    name, prefix = container["name"], description.prefix
    before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    needed = before + int(values[prefix + "STOP_DEADLINE_MS"]) / 1000 + 2
    if spec.get("terminationGracePeriodSeconds", 30) < needed:
        yield f"{name}: terminationGracePeriodSeconds is less than the {needed:.0f} s that a clean stop may take"
    called = {prefix + "REGISTRY_ADDR"} if description.registry_key else set()
    listened = {int(value.rsplit(":", 1)[1]) for key, value in values.items()
                if key.endswith("_ADDR") and value and key not in called}
    declared = {port["containerPort"] for port in container.get("ports", [])}
    if listened != declared:
        yield f"{name}: it listens on {sorted(listened)}, declared are {sorted(declared)}"
    reached = [key for key, value in values.items() if key.endswith("_ADDR") and value.startswith("127.")]
    if reached:
        yield f"{name}: {reached[0]} is the pod's loopback"
    if description.instance and env.get(prefix + "KAFKA_INSTANCE", {}).get("valueFrom", {}).get("fieldRef") is None:
        yield f"{name}: KAFKA_INSTANCE is not the pod's name"
    folder = values.get(prefix + "STATE_DIR")
    mounts = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
    if description.state_dir and folder not in mounts:
        yield f"{name}: no volume is mounted at STATE_DIR"


def _value(objects, container, one):
    if "value" in one:
        return one["value"]
    kind, source = next(iter(one["valueFrom"].items()))
    if kind == "configMapKeyRef":
        return next((other["data"].get(source["key"], "") for other in objects
                     if other["kind"] == "ConfigMap" and other["metadata"]["name"] == source["name"]), "")
    if kind == "resourceFieldRef":
        side, resource = source["resource"].split(".")
        return str(container["resources"][side][resource])
    if source.get("optional"):
        return ""  # off where nobody gives it
    return STAND_INS[kind]


@functools.lru_cache(maxsize=None)
def _printed(layout, program, arguments, environment):
    done = subprocess.run([layout.binaries / program, *arguments], env=dict(environment), capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL, timeout=60)
    return done.returncode, done.stdout + done.stderr


# --- what refers to what ---

def _references(objects, owner, template, whole):
    def data(kind, name):
        one = next((one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name), None)
        return None if one is None else {**one.get("data", {}), **one.get("stringData", {})}

    account = template["spec"].get("serviceAccountName")
    found = [one for one in objects if one["kind"] == "ServiceAccount" and one["metadata"]["name"] == account]
    if not found or found[0].get("automountServiceAccountToken") is not False:
        yield f"its service account {account} is missing or hands out tokens"
    for container in containers(template):
        for one in container.get("env", []):
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                source = one.get("valueFrom", {}).get(field)
                if source is None or source.get("optional"):
                    continue
                if (whole or kind != "Secret") and source["key"] not in (data(kind, source["name"]) or {}):
                    yield f"{one['name']} comes from key {source['key']} of {kind} {source['name']}, which is not there"
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{container['name']}: there is no volume {mount['name']}"
    for volume in template["spec"].get("volumes", []):
        if "configMap" in volume and data("ConfigMap", volume["configMap"]["name"]) is None:
            yield f"volume {volume['name']}: there is no ConfigMap {volume['configMap']['name']}"


def _matches(selector, labels):
    """Whether a label selector of either form chooses these labels."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return selector.items() <= labels.items()
    return (selector.get("matchLabels", {}).items() <= labels.items()
            and all(one["operator"] == "In" and labels.get(one["key"]) in one["values"]
                    for one in selector.get("matchExpressions", [])))


def _selectors(objects, owner, template):
    labels = template["metadata"]["labels"]
    if not _matches(owner["spec"]["selector"], labels):
        yield "its selector does not choose its own pods"
    budgets = [one for one in objects if one["kind"] == "PodDisruptionBudget" and _matches(one["spec"]["selector"], labels)]
    if len(budgets) != 1:
        yield f"{len(budgets)} disruption budgets are for its pods"
    if owner["kind"] == "StatefulSet" and not any(
            one["kind"] == "Service" and one["metadata"]["name"] == owner["spec"].get("serviceName")
            and _matches(one["spec"]["selector"], labels) for one in objects):
        yield f"no Service {owner['spec'].get('serviceName')} names its pods"


def _object(one, objects, pods):
    spec = one.get("spec", {})
    if one["kind"] != "Namespace" and one["metadata"].get("namespace") != NAMESPACE:
        yield f"it is not in the namespace {NAMESPACE}"
    if one["kind"] == "Service":
        chosen = [template for _, template in pods if _matches(spec["selector"], template["metadata"]["labels"])]
        if len(chosen) != 1:
            yield f"its selector chooses {len(chosen)} workloads"
        for port in spec["ports"]:
            if any((port["targetPort"], port.get("protocol", "TCP")) not in _ports(template) for template in chosen):
                yield f"port {port['name']} leads to no port of its pods"
    elif one["kind"] == "PodDisruptionBudget":
        owners = [owner for owner, template in pods if _matches(spec["selector"], template["metadata"]["labels"])]
        if len(owners) != 1:
            yield f"its selector chooses {len(owners)} workloads"
        if spec.get("maxUnavailable") != 1 or "minAvailable" in spec:
            yield "a drain of a node must be able to go on with one replica: maxUnavailable is not 1"
        if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield "pods that are not ready hold up a drain"
    elif one["kind"] == "NetworkPolicy":
        yield from _policy(spec, pods)
    elif one["kind"] == "Namespace":
        labels = one["metadata"]["labels"]
        for mode in ("enforce", "warn"):
            if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"the Pod Security Standard restricted is not in the mode {mode}"
    elif one["kind"] == "Secret" and not one.get("data"):
        yield "it is empty"


def _policy(spec, pods):
    def chosen(selector):
        return [template for _, template in pods if _matches(selector, template["metadata"]["labels"])]

    own = chosen(spec["podSelector"])
    if not own:
        yield "it is for no pod"
    for rules, side in ((spec.get("ingress", []), "from"), (spec.get("egress", []), "to")):
        for rule in rules:
            peers = [one["podSelector"] for one in rule.get(side, []) if "podSelector" in one and "namespaceSelector" not in one]
            yield from (f"nobody is meant by {peer}" for peer in peers if not chosen(peer))
            targets = own if side == "from" else [template for peer in peers for template in chosen(peer)]
            for port in rule.get("ports", []):
                named = (port["port"], port.get("protocol", "TCP"))
                if isinstance(port["port"], str) and not any(named in _ports(template) for template in targets):
                    yield f"port {port['port']} is not one of its pods'"


def _everything(objects, whole):
    names = {one["metadata"]["name"] for one in objects if one["kind"] in WORKLOADS}
    yield from (f"{name} is missing" for name in DESCRIPTIONS if name not in names)
    if not whole and any(one["kind"] == "Secret" for one in objects):
        yield "the base holds a Secret"
    if not any(one["kind"] == "Namespace" for one in objects):
        yield "the namespace is missing"
