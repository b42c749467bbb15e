"""mosquitto → Telegraf → Kafka → Telegraf → PostgreSQL, with the servers of a lab: what people build of parts."""
from bench_lab import process_cpu
from millrace_dev.processes import Process
from millrace_dev.say import DevError
from mosquitto_broker import Mosquitto

DATABASE = "telegraf"
TOPIC = "telegraf.telemetry"
TABLE = "mqtt_consumer"
TOPICS = "telegraf."  # prefix for `millrace admin topics`

# Nothing may be lost on the way for want of room, as far as Telegraf's and mosquitto's settings can say that.
AGENT = """\
[agent]
  omit_hostname = true
  metric_batch_size = 10000
  metric_buffer_limit = 1000000
  flush_interval = "200ms"
  logtarget = "stderr"
  quiet = true
"""
FROM_MQTT = AGENT + """
[[inputs.mqtt_consumer]]
  servers = ["tcp://{mqtt}"]
  topics = ["devices/+/telemetry"]
  qos = 1
  persistent_session = true
  client_id = "telegraf"
  max_undelivered_messages = 50000
  data_format = "json"
  json_time_key = "ts"
  json_time_format = "unix_us"
[[outputs.kafka]]
  brokers = ["{kafka}"]
  version = "3.6.0"
  topic = "{topic}"
  routing_tag = "topic"
  required_acks = -1
  data_format = "influx"
"""
FROM_KAFKA = AGENT + """
[[inputs.kafka_consumer]]
  brokers = ["{kafka}"]
  kafka_version = "3.6.0"
  topics = ["{topic}"]
  consumer_group = "telegraf"
  offset = "oldest"
  max_undelivered_messages = 50000
  max_processing_time = "10s"
  data_format = "influx"
[[outputs.postgresql]]
  connection = "{database}"
"""


class TelegrafPath:
    """Between `with` and its end it runs. The lab's Kafka and PostgreSQL take part, its services do not."""

    def __init__(self, lab, program):
        self._lab = lab
        self._program = program
        self._mosquitto = Mosquitto(lab.folder, more="max_queued_messages 0\n")
        self._telegrafs = {}

    def __enter__(self):
        lab = self._lab
        lab.millrace("admin", "topics", "--topic-prefix", TOPICS)
        lab.stack.postgres.sql(f"CREATE DATABASE {DATABASE}")
        self._mosquitto.__enter__()
        values = {"mqtt": self._mosquitto.address, "kafka": lab.stack.kafka.bootstrap, "topic": TOPIC,
                  "database": lab.stack.postgres.url(DATABASE)}
        for name, text in (("telegraf-to-kafka", FROM_MQTT), ("telegraf-to-postgres", FROM_KAFKA)):
            settings = lab.folder / f"{name}.conf"
            settings.write_text(text.format(**values), encoding="utf-8")
            settings.chmod(0o600)  # the database's password
            self._telegrafs[name] = (Process(lab.folder, name), settings)
            self.begin(name)
        return self

    def __exit__(self, *_):
        for process, _settings in self._telegrafs.values():
            process.stop()
        self._mosquitto.__exit__()

    @property
    def address(self):
        return self._mosquitto.address

    def begin(self, name):
        process, settings = self._telegrafs[name]
        process.start([self._program, "--config", settings])

    def kill(self, name):
        self._telegrafs[name][0].kill()

    def cpu(self):
        """CPU seconds of each server so far, of those that are killed only since their last start."""
        pids = {name: process.pid() for name, (process, _) in self._telegrafs.items()}
        pids.update(mosquitto=self._mosquitto.pid(), kafka=self._lab.stack.kafka.process.pid(),
                    postgres=self._lab.stack.postgres.process.pid())
        return {name: process_cpu(pid) for name, pid in pids.items()}

    def rows(self):
        """In the table, which the first message makes; none while the database is away."""
        return self._count("count(*)")

    def different(self):
        """Messages in the table, however often each is there."""
        return self._count("count(DISTINCT (topic, sequence))")

    def forget(self):
        if self.rows():
            self._sql(f"TRUNCATE {TABLE}")

    def _count(self, what):
        try:
            there = self._sql(f"SELECT to_regclass('{TABLE}') IS NOT NULL") == "t"
            return int(self._sql(f"SELECT {what} FROM {TABLE}")) if there else 0
        except DevError:
            return 0

    def _sql(self, text):
        return self._lab.stack.postgres.sql(text, DATABASE)
