"""MQTT clients of others for the interoperability tests, each pinned, built from tests/conformance/mqtt/clients into .dev/tools."""
import hashlib
import shutil

from . import packages, say

CARGO = ["cargo-web"]  # Debian's current Rust
NODE = ["nodejs", "npm"]


def install(layout):
    """Builds what is missing; returns the command of each client by its name."""
    sources = layout.root / "tests" / "conformance" / "mqtt" / "clients"
    folder = layout.tools / "mqtt-clients"
    _once(layout, folder / "paho_cpp", [sources / "paho_cpp.cpp"], _paho_cpp)
    _once(layout, folder / "mqttjs", sorted((sources / "mqttjs").iterdir()), _mqttjs)
    _once(layout, folder / "rumqttc", [sources / "rumqttc" / name for name in ("Cargo.toml", "Cargo.lock", "src/main.rs")],
          _rumqttc)
    return {"paho-cpp": [str(folder / "paho_cpp" / "paho_cpp")],
            "paho-python": ["/usr/bin/python3", str(sources / "paho_python.py")],
            "mqttjs": ["node", str(folder / "mqttjs" / "client.js")],
            "rumqttc": [str(folder / "rumqttc" / "rumqttc-client")]}


def _once(layout, folder, files, make):
    """Calls make(layout, folder, files) into an empty folder, unless it was made from the same files."""
    stamp = folder / "made-from"
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make(layout, folder, files)
    stamp.write_text(digest, encoding="ascii")


def _paho_cpp(layout, folder, files):
    packages.install(packages.TEST, layout.install_logs)
    say.run(["g++", "-std=c++17", "-O1", "-Wall", "-o", folder / "paho_cpp", *files, "-lpaho-mqttpp3", "-lpaho-mqtt3as"],
            layout.install_logs / "paho-cpp.log", "a client around Eclipse Paho C++")


def _mqttjs(layout, folder, files):
    if not shutil.which("npm"):
        packages.install(NODE, layout.install_logs)
    for file in files:
        if file.is_file():
            shutil.copy(file, folder)
    say.run(["npm", "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"], layout.install_logs / "mqttjs.log",
            "MQTT.js from npm", cwd=folder)


def _rumqttc(layout, folder, files):
    if not shutil.which("cargo"):
        packages.install(CARGO, layout.install_logs)
    target = folder / "target"
    say.run(["cargo", "build", "--locked", "--manifest-path", files[0], "--target-dir", target],
            layout.install_logs / "rumqttc.log", "rumqttc from crates.io")
    shutil.copy(target / "debug" / "rumqttc-client", folder)
    shutil.rmtree(target)
