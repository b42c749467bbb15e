"""The addresses and credentials of a running system as environment variables, for shells, scripts and the programs."""
import base64
import hashlib
import os
import shlex

TENANT = "demo"


def exports(stack):
    """What ./dev env prints, as a dict. Credentials that do not exist yet are left out."""
    settings = stack.settings
    token = settings.kept("device_token")
    values = {
        "MILLRACE_MQTT_ADDR": settings.address("mqtt"),
        "MILLRACE_OPEN_MQTT_ADDR": settings.address("open_mqtt"),
        "MILLRACE_MQTT_WS_URL": f"ws://{settings.address('mqtt_ws')}/mqtt",
        "MILLRACE_HTTP_URL": f"http://{settings.address('http')}",
        "MILLRACE_COAP_URI": f"coap://{settings.address('coap')}",
        "MILLRACE_COAPS_URI": f"coaps://{settings.address('coaps')}",
        "MILLRACE_REGISTRY_ADDR": settings.address("registry"),
        "MILLRACE_QUERY_ADDR": settings.address("query"),
        "MILLRACE_QUERY_URL": f"http://{settings.address('query_http')}",
        "MILLRACE_KAFKA": stack.kafka.bootstrap,
        "MILLRACE_DATABASE_URL": stack.database_url,
        "MILLRACE_ARCHIVE_DIRECTORY": str(stack.settings.archive),
        "MILLRACE_TENANT": TENANT,
        "MILLRACE_API_KEY": settings.kept("api_key"),
        "MILLRACE_PLATFORM_KEY": settings.kept("platform_key"),
        "MILLRACE_DEVICE_ID": settings.kept("device_id"),
        "MILLRACE_DEVICE_TOKEN": token,
        "MILLRACE_DEVICE_PSK": psk(token) if token else None,
        "MILLRACE_PROFILE": str(profile_path(settings)),
        "MILLRACE_BIN": str(stack.layout.binaries),
    }
    if settings.authority:
        values.update({
            "MILLRACE_MQTTS_ADDR": settings.address("mqtts"),
            "MILLRACE_MQTT_WSS_URL": f"wss://{settings.address('mqtt_wss')}/mqtt",
            "MILLRACE_HTTPS_URL": f"https://{settings.address('https')}",
            "MILLRACE_CA_FILE": str(settings.authority.ca),
        })
    return {key: value for key, value in values.items() if value}


def psk(token):
    """The pre-shared key of a device with this token over DTLS (docs/protocols.md)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest())[:16].decode()


def path(stack):
    """The caller's PATH with the programs and the tools in front."""
    return f"{stack.layout.binaries}:{stack.layout.tools / 'bin'}"


def client_environment(stack):
    """The environment in which `millrace` and `millrace-fleet` are called for this stack. It holds nothing else of the
    caller's shell: a process is started again when its environment changed, and that must not depend on the terminal."""
    env = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TZ")}
    env.update(exports(stack))
    env.pop("MILLRACE_PROFILE")  # everything is said by the variables; the file may not be written yet
    env["HOME"] = str(stack.settings.folder)
    return env


def shell_lines(stack):
    lines = [f"export {key}={shlex.quote(value)}" for key, value in exports(stack).items()]
    lines.append(f'case ":$PATH:" in *:{shlex.quote(str(stack.layout.binaries))}:*) ;; '
                 f'*) export PATH={shlex.quote(path(stack))}:"$PATH" ;; esac')
    return "\n".join(lines)


def profile_path(settings):
    return settings.folder / "profile"


def write_profile(stack):
    """The file that `millrace` reads when MILLRACE_PROFILE names it."""
    values = {"MILLRACE_CA_FILE": "", **exports(stack)}
    text = "# Written by ./dev up\n" + "".join(
        f"{key} = {values[name]}\n" for key, name in (
            ("registry", "MILLRACE_REGISTRY_ADDR"), ("query", "MILLRACE_QUERY_ADDR"), ("ca_file", "MILLRACE_CA_FILE"), ("api_key", "MILLRACE_API_KEY"),
            ("tenant", "MILLRACE_TENANT"), ("kafka", "MILLRACE_KAFKA"), ("database_url", "MILLRACE_DATABASE_URL")))
    file = profile_path(stack.settings)
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    temporary = file.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    temporary.replace(file)
