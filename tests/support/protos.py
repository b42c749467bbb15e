"""The project's messages for Python: made from proto/ by protoc when first asked for."""
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

_PROTO = Path(__file__).resolve().parents[2] / "proto"
_folder = None


def _module(name):
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="millrace-protos-")
        subprocess.run(["protoc", "-I", str(_PROTO), f"--python_out={_folder.name}",
                        *map(str, sorted(_PROTO.glob("millrace/**/*.proto")))], check=True)
        sys.path.insert(0, _folder.name)
    return importlib.import_module(name)


def telemetry():
    return _module("millrace.telemetry.v1.telemetry_pb2")


def registry():
    return _module("millrace.registry.v1.registry_pb2")


def query():
    return _module("millrace.query.v1.query_pb2")


def alerts():
    return _module("millrace.alerts.v1.alert_pb2")


def commands():
    return _module("millrace.commands.v1.command_event_pb2")


def presence():
    return _module("millrace.devices.v1.presence_pb2")


def sessions():
    return _module("millrace.devices.v1.session_pb2")


def message_class(descriptor):
    from google.protobuf import symbol_database
    return symbol_database.Default().GetPrototype(descriptor)
