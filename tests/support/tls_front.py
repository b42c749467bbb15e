"""A gateway with every transport of MQTT and HTTP on, and the clients for it."""
import socket
import ssl

from millrace_dev.authority import Authority
from millrace_dev.settings import free_ports

from millrace_lab import TENANT
from raw_mqtt import CONNACK, RawMqtt
from raw_web_socket import RawWebSocket

PREFIX = "MILLRACE_PROTOCOL_GATEWAY_"
READING = b'{"power":1.5}'


class Front:
    """A gateway with every listener on, beside the lab's own."""
    device = "tls-meter"

    def __init__(self, lab, folder, **settings):
        self.lab = lab
        self.authority = Authority(folder)
        certificate, key = self.authority.server()
        self.ports = free_ports()
        if not hasattr(lab, "tls_token"):
            lab.tls_token = lab.create_device(self.device)
        self.token = lab.tls_token
        values = {"MQTTS_ADDR": self.address("mqtts"), "MQTT_WS_ADDR": self.address("mqtt_ws"),
                  "MQTT_WSS_ADDR": self.address("mqtt_wss"), "HTTPS_ADDR": self.address("https"),
                  "TLS_CERTIFICATE_FILES": str(certificate), "TLS_KEY_FILES": str(key), **settings}
        self.service = lab.add_service("protocol-gateway", "tls-gateway",
                                       extra={PREFIX + name: str(value) for name, value in values.items()})
        self.service.wait_ready()

    def address(self, port):
        return f"127.0.0.1:{self.ports[port]}"

    def port(self, name):
        """Of a listener for MQTT by the name of its transport: that of plain TCP is the service's own."""
        return (self.service.ports if name == "mqtt" else self.ports)[name]

    def context(self, certificate=None, versions=None):
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        if certificate:
            context.load_cert_chain(*map(str, certificate))
        if versions:
            context.minimum_version = context.maximum_version = versions
        return context

    def tcp(self, port):
        return socket.create_connection(("127.0.0.1", self.ports[port]), timeout=60)

    def secure(self, port="mqtts", context=None, session=None, alpn=None):
        context = context or self.context()
        if alpn:
            context.set_alpn_protocols(alpn)
        return context.wrap_socket(self.tcp(port), server_hostname="localhost", session=session)

    def stream(self, transport):
        if transport == "tls":
            return self.secure()
        return RawWebSocket(self.secure("mqtt_wss") if transport == "wss" else self.tcp("mqtt_ws"))

    def mqtt(self, transport="tls", version=5, stream=None):
        """Connected as the device."""
        client = RawMqtt(None, version, stream=stream or self.stream(transport))
        answer = client.connect(f"{self.device}@{TENANT}", self.token, f"c-{id(client)}")
        assert answer.kind == CONNACK and answer.reason == 0, answer
        return client

    def publish(self, client, packet_id=1):
        assert client.ask(f"devices/{self.device}/telemetry", READING, packet_id).reason == 0

    def metric(self, name):
        return self.lab.metrics("tls-gateway", name)

    def close(self):
        self.lab.drop_service("tls-gateway")

    @property
    def environment(self):
        """What ./dev env prints for it under --tls."""
        return {"MILLRACE_MQTTS_ADDR": self.address("mqtts"), "MILLRACE_MQTT_WSS_URL": f"wss://{self.address('mqtt_wss')}/mqtt",
                "MILLRACE_HTTPS_URL": f"https://{self.address('https')}", "MILLRACE_CA_FILE": str(self.authority.ca)}
