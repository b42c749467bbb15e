"""The Eclipse Paho Python client under the words of README.md."""
import os
import sys
import threading
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT = 60
_output = threading.Lock()


def say(line):
    with _output:
        print(line, flush=True)


def fail(why):
    say(f"error {why}")
    os._exit(1)


def main(url, version, client_id, clean, user=None, password=None):
    five, place = version == "5", urlsplit(url)
    client = paho.Client(client_id=client_id, protocol=paho.MQTTv5 if five else paho.MQTTv311,
                         clean_session=None if five else clean == "clean",
                         transport="websockets" if place.scheme in ("ws", "wss") else "tcp")
    if place.path:
        client.ws_set_options(path=place.path)
    if place.scheme in ("mqtts", "wss"):
        client.tls_set(os.environ["MQTT_CA"])
    if user:
        client.username_pw_set(user, password)
    ended, subscribed = threading.Event(), threading.Event()

    def on_connect(_client, _data, flags, reason, *_):
        if reason != 0:
            fail(reason)
        say(f"connected {int(flags['session present'])}")

    def on_disconnect(_client, _data, reason, *_):
        if reason != 0:
            fail(f"disconnected: {reason}")
        ended.set()
    client.on_connect, client.on_disconnect = on_connect, on_disconnect
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, one: say(f"message {one.qos} {one.topic} {one.payload.decode()}")
    kept = {}
    if five:
        kept = {"clean_start": clean == "clean", "properties": Properties(PacketTypes.CONNECT)}
        if clean != "clean":
            kept["properties"].SessionExpiryInterval = 3600
    client.connect(place.hostname, place.port, keepalive=30, **kept)
    client.loop_start()
    for line in sys.stdin:
        word, *rest = line.rstrip("\n").split(" ", 3)
        if word == "subscribe":
            subscribed.clear()
            client.subscribe(rest[1], int(rest[0]))
            if not subscribed.wait(WAIT):
                fail("no SUBACK")
            say("subscribed")
        elif word == "publish":
            sent = client.publish(rest[1], rest[2], int(rest[0]))
            sent.wait_for_publish(WAIT)
            say("published" if sent.is_published() else "error no answer to a PUBLISH")
        elif word == "end":
            client.disconnect()
            if not ended.wait(WAIT):
                fail("DISCONNECT did not end the connection")
            say("ended")
            client.loop_stop()
            return


main(*sys.argv[1:])
