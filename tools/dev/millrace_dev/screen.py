"""What a newcomer sees at the end of ./dev up."""
from . import environment, say


def show(stack, latest, started):
    values = environment.exports(stack)
    settings = stack.settings
    device, token = values["MILLRACE_DEVICE_ID"], values["MILLRACE_DEVICE_TOKEN"]
    user = f"{device}@{values['MILLRACE_TENANT']}"
    host, mqtt_port = values["MILLRACE_MQTT_ADDR"].split(":")
    secure = "MILLRACE_CA_FILE" in values
    say.line()
    say.line("Millrace runs." if started else "Millrace runs already; nothing was changed.")
    say.line()
    say.line(say.table([
        ("protocol-gateway", f"MQTT {values['MILLRACE_MQTT_ADDR']}", f"HTTP {values['MILLRACE_HTTP_URL']}",
         f"ops http://{settings.address('gateway_ops')}/metrics"),
        ("", values["MILLRACE_COAP_URI"], values["MILLRACE_COAPS_URI"],
         f"MQTT broker open to all {values['MILLRACE_OPEN_MQTT_ADDR']}"),
        *([("", f"MQTTS {values['MILLRACE_MQTTS_ADDR']}", values["MILLRACE_HTTPS_URL"], values["MILLRACE_MQTT_WSS_URL"])]
          if secure else []),
        ("device-registry", f"gRPC {values['MILLRACE_REGISTRY_ADDR']}", "",
         f"ops http://{settings.address('registry_ops')}/metrics"),
        ("storage-writer", "", "", f"ops http://{settings.address('writer_ops')}/metrics"),
        ("storage-archiver", "", "", f"ops http://{settings.address('archiver_ops')}/metrics"),
        ("stream-processing", "", "", f"ops http://{settings.address('stream_ops')}/metrics"),
        ("query-api", f"gRPC {values['MILLRACE_QUERY_ADDR']}", f"HTTP {values['MILLRACE_QUERY_URL']}",
         f"ops http://{settings.address('query_ops')}/metrics"),
        ("notifier", "", "", f"ops http://{settings.address('notifier_ops')}/metrics"),
        ("kafka", values["MILLRACE_KAFKA"], "", ""),
        ("postgres", settings.address("postgres"), "", ""),
    ]))
    say.line()
    say.line("The demo fleet sends 5 messages a second. What the store has of one of its meters:")
    say.line("\n".join("  " + text for text in latest.splitlines()[:10]))
    say.line()
    say.line("Publish")
    say.line(f"  curl -u '{user}:{token}' -H 'Content-Type: application/json' "
             f"-d '{{\"temperature\": 21.5}}' {values['MILLRACE_HTTP_URL']}/v1/telemetry")
    say.line(f"  mosquitto_pub -h {host} -p {mqtt_port} -V mqttv5 -q 1 -u '{user}' -P '{token}' "
             f"-t devices/{device}/telemetry -m '{{\"temperature\": 21.7}}'")
    if secure:
        say.line(f"  mosquitto_pub -h localhost -p {values['MILLRACE_MQTTS_ADDR'].split(':')[1]} --cafile {values['MILLRACE_CA_FILE']} "
                 f"-q 1 -u '{user}' -P '{token}' -t devices/{device}/telemetry -m '{{\"temperature\": 21.8}}'")
    say.line(f"  echo '{{\"temperature\": 21.9}}' | coap-client-openssl -m post -t 50 -u '{user}' "
             f"-k '{values['MILLRACE_DEVICE_PSK']}' -f - {values['MILLRACE_COAPS_URI']}/v1/telemetry")
    say.line()
    say.line("Read it back")
    say.line('  eval "$(./dev env)"')
    say.line(f"  millrace latest {device}")
    say.line(f"  millrace range {device} temperature --from 1h")
    trust = '-cacert "$MILLRACE_CA_FILE"' if secure else "-plaintext"
    say.line(f"  grpcurl {trust} -H \"authorization: Bearer $MILLRACE_API_KEY\" "
             f"-d '{{\"device\": \"{device}\"}}' $MILLRACE_QUERY_ADDR millrace.query.v1.QueryService/Latest")
    say.line()
    say.line("Look and stop")
    say.line("  ./dev status      ./dev logs storage-writer      ./dev down      ./dev reset (drops the data)")
