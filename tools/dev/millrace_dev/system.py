"""From nothing to a running, empty system: the steps that ./dev up and the tests share."""
import json
import re
import subprocess

from . import environment
from .say import DevError


def millrace(stack, *arguments, timeout=120):
    """Calls the operator's command line for this stack; returns what it prints."""
    program = stack.layout.binaries / "millrace"
    if not program.exists():
        raise DevError(f"{program} is not built")
    try:
        done = subprocess.run([str(program), *map(str, arguments)], env=environment.client_environment(stack), text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise DevError(f"millrace {' '.join(map(str, arguments))} did not end within {timeout} s") from None
    if done.returncode != 0:
        raise DevError(f"millrace {' '.join(map(str, arguments))} ended with {done.returncode}:\n"
                       f"{done.stdout}{done.stderr}")
    return done.stdout


def start(stack, told=lambda text: None):
    """Brings every member up and returns the names of those that were started (again). A member that runs as it should
    is left alone; one whose program or configuration changed is restarted. Safe to repeat after a failure."""
    started = []
    told("Kafka and PostgreSQL")
    started += stack.start_servers()
    outdated = [service for service in stack.services.values() if not (service.alive() and service.current())]
    if outdated or started or not stack.settings.kept("prepared"):
        told("topics, database and schema")
        millrace(stack, "admin", "topics")
        stack.prepare_database()
        stack.migrate()
        stack.settings.keep("prepared", "yes")
    for service in outdated:
        if service.alive():
            service.stop()
        stack.check_ports(service.name)
    registry = stack.services["device-registry"]
    if registry in outdated:
        told(registry.name)
        registry.start()
        started.append(registry.name)
    registry.wait_ready()
    _bootstrap(stack)
    rest = [service for service in outdated if service is not registry]
    for service in rest:
        told(service.name)
        service.start()
        started.append(service.name)
    for service in stack.services.values():
        service.wait_ready()
    return started


def _bootstrap(stack):
    """The platform's first admin key, the key of the gateways, the demo tenant and its admin key, each once."""
    if not stack.settings.kept("platform_key"):
        printed = stack.services["device-registry"].call("bootstrap", secret=True)
        key = re.search(r"\bmk_[A-Za-z0-9_-]+", printed)
        if not key:
            raise DevError("device-registry bootstrap printed no API key")
        stack.settings.keep("platform_key", key.group(0))
    if not stack.settings.kept("gateway_key"):
        made = millrace(stack, "--api-key", stack.settings.kept("platform_key"), "--tenant", "", "key", "create", "--role",
                        "operator", "--description", "gateways make devices", "--json")
        stack.settings.keep_file("gateway_key", json.loads(made)["key"])
    if not stack.settings.kept("api_key"):
        stack.settings.keep("api_key", make_tenant(stack, environment.TENANT))


def make_tenant(stack, tenant):
    """A tenant, if it is not there yet, and a new admin key of it."""
    platform = ("--api-key", stack.settings.kept("platform_key"))
    tenants = json.loads(millrace(stack, *platform, "tenant", "list", "--json"))
    if all(known["tenant"] != tenant for known in tenants):
        millrace(stack, *platform, "tenant", "create", tenant)
    made = millrace(stack, *platform, "--tenant", tenant, "key", "create", "--role", "admin", "--json")
    return json.loads(made)["key"]
