"""What can be said about deploy/ and docker-compose.yml without starting anything."""
import json
import re
import subprocess
import tempfile

import yaml

COMPOSE = "docker-compose.yml"
_FAMILY_ENDINGS = ("_bucket", "_sum", "_count")
_NAME = re.compile(r"\b(?:millrace|iot)_[a-z0-9_]+\b")


def monitoring_faults(layout):
    """promtool over Prometheus' configuration, the rules and their tests; every metric that rules or dashboard name is in
    docs/metrics.md, and every alert has its place in docs/operations.md."""
    folder = layout.deploy / "prometheus"
    faults = _promtool("check", "config", folder / "prometheus.yml")
    faults += _promtool("test", "rules", folder / "alerts_test.yml")
    documented = set(_NAME.findall((layout.root / "docs" / "metrics.md").read_text(encoding="utf-8")))
    for where, expression in _expressions(layout):
        for name in _NAME.findall(expression):
            family = next((name.removesuffix(end) for end in _FAMILY_ENDINGS if name.endswith(end)), name)
            if name not in documented and family not in documented:
                faults.append(f"{where}: there is no metric {name} (docs/metrics.md)")
    return faults + _alert_faults(layout) + _expression_faults(layout)


def _alert_faults(layout):
    """Every alert has a heading below `## Alerts` of docs/operations.md, and every heading there is an alert."""
    page = (layout.root / "docs" / "operations.md").read_text(encoding="utf-8")
    section = re.search(r"^## Alerts\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    explained = set(re.findall(r"^### (\S+)$", section.group(1) if section else "", re.M))
    alerts = {rule["alert"] for group in _alert_groups(layout) for rule in group["rules"] if "alert" in rule}
    return ([f"docs/operations.md does not say what to do about {name}" for name in sorted(alerts - explained)]
            + [f"docs/operations.md explains {name}, which is no alert" for name in sorted(explained - alerts)])


def _alert_groups(layout):
    return _yaml(layout.deploy / "prometheus" / "alerts.yml")["groups"]


def _promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines()


def _expressions(layout):
    """(where, PromQL) of every rule and every panel."""
    for group in _alert_groups(layout):
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((layout.deploy / "grafana" / "dashboards" / "millrace.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            # A variable of Grafana's; the checks need some duration in its place.
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def _expression_faults(layout):
    """The expressions as rules for promtool: a typing error in a panel shows here, not as an empty panel."""
    rules = [{"record": f"panel:{number}", "expr": expression}
             for number, (_, expression) in enumerate(_expressions(layout))]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"groups": [{"name": "all", "rules": rules}]}, file)
        file.flush()
        return _promtool("check", "rules", file.name)


def container_faults(layout):
    """The rules that hold for every container and for what builds the images."""
    services = _yaml(layout.root / COMPOSE)["services"]
    faults = []
    for name, service in services.items():
        wanted = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
        faults += [f"{name}: {key} is not {value}" for key, value in wanted.items() if service.get(key) != value]
        faults += [f"{name}: no {key}" for key in ("mem_limit", "cpus", "pids_limit", "restart") if key not in service]
        if "build" not in service and not re.search(r":v?\d+\.\d+", service["image"]):
            faults.append(f"{name}: {service['image']} is not pinned")
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|DATABASE_URL", key) and not re.search(r"\$\{[A-Z_]+:\?", str(value)):
                faults.append(f"{name}: {key} holds something else than a variable that must be set")
    return faults + _variable_faults(layout) + _dockerfile_faults(layout, services)


def _variable_faults(layout):
    """docker-compose.yml and .env.example name the same settings. What a builder sets by hand is not in the example."""
    used = set(re.findall(r"\$\{([A-Z_]+)", (layout.root / COMPOSE).read_text(encoding="utf-8")))
    example = (layout.root / ".env.example").read_text(encoding="utf-8")
    offered = set(re.findall(r"^([A-Z_]+)=", example, re.M)) - {"COMPOSE_PROJECT_NAME"}
    used -= {"MILLRACE_REVISION", "BUILD_JOBS"}
    return [f".env.example and {COMPOSE} differ in {name}" for name in sorted(used ^ offered)]


def _dockerfile_faults(layout, services):
    text = (layout.deploy / "docker" / "Dockerfile").read_text(encoding="utf-8")
    faults = []
    # What the BuildKit inside of Docker 20.10 does not know, and what would ask a registry for a newer one.
    for wrong in (r"^# *syntax", r"<<-?['\"]?[A-Z]", r"--link", r"--start-interval"):
        if re.search(wrong, text, re.M):
            faults.append(f"Dockerfile: {wrong} does not build with Docker 20.10")
    # parquet-worker has no image of its own: it is in those of the services that start it.
    programs = {path.parent.name for path in (layout.root / "services").glob("*/main.cpp")} - {"parquet-worker"}
    for program in sorted(programs):
        target = re.search(rf"^FROM runtime AS {program}\n(.*?)(?=^FROM |\Z)", text, re.M | re.S)
        if program not in services or target is None:
            faults.append(f"{program} has no image or no place in {COMPOSE}")
        elif "USER 10001" not in target.group(1) or f'CMD ["{program}", "healthcheck"]' not in target.group(1):
            faults.append(f"Dockerfile: {program} runs as root or has no health check")
    return faults


def _yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))
