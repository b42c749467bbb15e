// What the broker gives to a client that does nothing else: records of one size into and out of a topic through bare
// librdkafka, and the time from produce to delivery report at a steady rate. The floor under every figure of the whole
// path; same settings as the gateway's producer (acks=all, idempotent, linger 2 ms). Prints one JSON object.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <librdkafka/rdkafka.h>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "kafka_floor: %s\n", what.c_str());
  std::exit(1);
}

double seconds_since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

using Settings = std::vector<std::pair<const char*, std::string>>;

struct Destroy {
  void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
};
using Client = std::unique_ptr<rd_kafka_t, Destroy>;

struct Reports {
  std::vector<double> seconds;
  std::size_t failed = 0;
};

void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& reports = *static_cast<Reports*>(opaque);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++reports.failed;
  Clock::rep sent = 0;
  std::memcpy(&sent, message->payload, sizeof sent);
  reports.seconds.push_back(
      std::chrono::duration<double>(Clock::now().time_since_epoch() - Clock::duration(sent)).count());
}

Client client(rd_kafka_type_t type, const Settings& settings, Reports* reports) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512];
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name, value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK) fail(text);
  }
  if (reports != nullptr) {
    rd_kafka_conf_set_opaque(conf, reports);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
  }
  Client made(rd_kafka_new(type, conf, text, sizeof text));
  if (!made) fail(text);
  return made;
}

struct DestroyTopic {
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
};

class Producer {
 public:
  Producer(const Settings& settings, const std::string& topic, std::size_t bytes)
      : client_(client(RD_KAFKA_PRODUCER, settings, &reports)),
        topic_(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr)),
        value_(bytes, 'x') {}

  /// The report's time counts from `due`.
  void produce(std::uint64_t number, Clock::time_point due) {
    const Clock::rep since = due.time_since_epoch().count();
    std::memcpy(value_.data(), &since, sizeof since);
    const std::string key = "floor/device-" + std::to_string(number % 200);
    while (rd_kafka_produce(topic_.get(), RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value_.data(), value_.size(),
                            key.data(), key.size(), nullptr) != 0) {
      poll(10);  // the queue is full
    }
  }
  void poll(int milliseconds) { rd_kafka_poll(client_.get(), milliseconds); }
  void end() {
    if (rd_kafka_flush(client_.get(), 60'000) != RD_KAFKA_RESP_ERR_NO_ERROR || reports.failed != 0) {
      fail("not everything was delivered");
    }
  }

  Reports reports;

 private:
  Client client_;
  std::unique_ptr<rd_kafka_topic_t, DestroyTopic> topic_;
  std::string value_;
};

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values.at(std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size()))));
}

struct Rate {
  double per_second;
  double cpu_us;
};

Rate fastest_produce(Producer& producer, std::uint64_t records) {
  const auto begun = Clock::now();
  const double cpu = cpu_seconds();
  for (std::uint64_t i = 0; i < records; ++i) {
    producer.produce(i, Clock::now());
    if (i % 64 == 0) producer.poll(0);
  }
  producer.end();
  const auto count = static_cast<double>(records);
  return {count / seconds_since(begun), (cpu_seconds() - cpu) * 1e6 / count};
}

// Paced as millrace-fleet paces its devices: looks once a millisecond at what is due, and counts from when it was due.
std::vector<double> steady_produce(Producer& producer, double rate, double seconds) {
  producer.reports.seconds.clear();
  const auto begun = Clock::now();
  std::uint64_t sent = 0;
  while (seconds_since(begun) < seconds) {
    const auto due = static_cast<std::uint64_t>(seconds_since(begun) * rate);
    for (; sent < due; ++sent) {
      const std::chrono::duration<double> after(static_cast<double>(sent + 1) / rate);
      producer.produce(sent, begun + std::chrono::duration_cast<Clock::duration>(after));
    }
    producer.poll(1);
  }
  producer.end();
  return producer.reports.seconds;
}

Rate fastest_consume(Settings settings, const std::string& topic, std::uint64_t records) {
  settings.insert(settings.end(),
                  {{"group.id", "floor"}, {"auto.offset.reset", "earliest"}, {"enable.auto.commit", "false"}});
  const Client consumer = client(RD_KAFKA_CONSUMER, settings, nullptr);
  rd_kafka_poll_set_consumer(consumer.get());
  rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, topic.c_str(), RD_KAFKA_PARTITION_UA);
  if (rd_kafka_subscribe(consumer.get(), topics) != RD_KAFKA_RESP_ERR_NO_ERROR) fail("cannot subscribe");
  rd_kafka_topic_partition_list_destroy(topics);
  std::uint64_t count = 0;
  Clock::time_point begun;
  double cpu = 0;
  while (count < records) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer.get(), 60'000);
    if (message == nullptr) fail("no record within a minute");
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && ++count == 1) {
      begun = Clock::now();  // joining the group is not part of it
      cpu = cpu_seconds();
    }
    rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(consumer.get());
  const auto all = static_cast<double>(count);
  return {all / seconds_since(begun), (cpu_seconds() - cpu) * 1e6 / all};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) fail("arguments: BOOTSTRAP TOPIC RECORDS BYTES STEADY_RATE (the topic exists and is empty)");
  const std::string topic = argv[2];
  const std::uint64_t records = std::strtoull(argv[3], nullptr, 10);
  const std::size_t bytes = std::max<std::size_t>(sizeof(Clock::rep), std::strtoull(argv[4], nullptr, 10));
  const double steady = std::strtod(argv[5], nullptr);
  const Settings servers{{"bootstrap.servers", argv[1]}};
  Settings producing = servers;
  producing.insert(producing.end(),
                   {{"enable.idempotence", "true"}, {"linger.ms", "2"}, {"partitioner", "murmur2_random"}});
  Producer producer(producing, topic, bytes);
  const Rate produced = fastest_produce(producer, records);
  const Rate consumed = fastest_consume(servers, topic, records);
  const std::vector<double> reports = steady_produce(producer, steady, 10);
  std::printf(R"({"produce_per_s": %.0f, "produce_cpu_us": %.2f, "consume_per_s": %.0f, "consume_cpu_us": %.2f, )"
              R"("report_p50_ms": %.3f, "report_p99_ms": %.3f})"
              "\n",
              produced.per_second, produced.cpu_us, consumed.per_second, consumed.cpu_us,
              percentile(reports, 0.5) * 1e3, percentile(reports, 0.99) * 1e3);
}
