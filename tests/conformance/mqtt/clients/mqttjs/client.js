// MQTT.js under the words of ../README.md.
"use strict";
const fs = require("node:fs");
const readline = require("node:readline");
const mqtt = require("mqtt");

const [url, version, clientId, clean, username, password] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${line}\n`);
const fail = (why) => {
  say(`error ${why}`);
  process.exit(1);
};

const five = version === "5";
const client = mqtt.connect(url, {
  clientId,
  username,
  password,
  protocolVersion: Number(version),
  clean: clean === "clean",
  keepalive: 30,
  reconnectPeriod: 0,
  resubscribe: false,
  ca: process.env.MQTT_CA ? fs.readFileSync(process.env.MQTT_CA) : undefined,
  properties: five && clean !== "clean" ? { sessionExpiryInterval: 3600 } : undefined,
});
client.on("error", (error) => fail(error.message));
client.on("close", () => {
  if (!client.disconnecting) fail("the connection was closed");
});
client.on("message", (topic, payload, packet) => say(`message ${packet.qos} ${topic} ${payload}`));
client.on("connect", (connack) => {
  say(`connected ${Number(connack.sessionPresent)}`);
  const told = readline.createInterface({ input: process.stdin });
  told.on("line", (line) => {
    const [word, qos, topic, ...payload] = line.split(" ");
    const then = (answer) => (error) => (error ? fail(error.message) : say(answer));
    if (word === "subscribe") client.subscribe(topic, { qos: Number(qos) }, then("subscribed"));
    if (word === "publish") client.publish(topic, payload.join(" "), { qos: Number(qos) }, then("published"));
    if (word === "end") {
      client.end(false, {}, () => {
        say("ended");
        process.exit(0);
      });
    }
  });
});
