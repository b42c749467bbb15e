// Days of telemetry as the gateway writes them, into an empty topic: by default 10,000 devices with four metrics, fifty
// of them every 30 s, the others every 40 min (a hard case for every tier: 36 points a series and day), noisy decimals
// and a counter, times with a jitter of milliseconds, in the order of their times. MQTT 5, QoS 1, all copy rules have
// work. Prints one JSON object.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <librdkafka/rdkafka.h>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>
#include <millrace/telemetry/batch.hpp>

namespace {

using namespace millrace;

constexpr TimeUs kDay = 86'400 * kUsPerSecond;
constexpr int kFastDevices = 50;
constexpr TimeUs kFast = 30 * kUsPerSecond;
constexpr TimeUs kSlow = 2'400 * kUsPerSecond;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "telemetry_days: %s\n", what.c_str());
  std::exit(1);
}

struct Destroy {
  void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
};

std::size_t failed_records = 0;

void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++failed_records;
}

class Producer {
 public:
  Producer(const std::string& bootstrap, const std::string& topic) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    char text[512];
    const std::vector<std::pair<const char*, std::string>> settings{{"bootstrap.servers", bootstrap},
                                                                    {"enable.idempotence", "true"},
                                                                    {"linger.ms", "20"},
                                                                    {"queue.buffering.max.kbytes", "131072"}};
    for (const auto& [name, value] : settings) {
      if (rd_kafka_conf_set(conf, name, value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK) fail(text);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    client_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text));
    if (!client_) fail(text);
    topic_.reset(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
    const struct rd_kafka_metadata* found = nullptr;
    if (rd_kafka_metadata(client_.get(), 0, topic_.get(), &found, 60'000) != RD_KAFKA_RESP_ERR_NO_ERROR)
      fail("no broker answers");
    partitions = found->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(found);
    if (partitions < 1) fail("there is no topic " + topic);
  }

  void produce(int partition, const std::string& key, const std::string& value) {
    while (rd_kafka_produce(topic_.get(), partition, RD_KAFKA_MSG_F_COPY, const_cast<char*>(value.data()), value.size(),
                            key.data(), key.size(), nullptr) != 0) {
      rd_kafka_poll(client_.get(), 10);  // the queue is full
    }
    rd_kafka_poll(client_.get(), 0);
  }

  void end() {
    if (rd_kafka_flush(client_.get(), 120'000) != RD_KAFKA_RESP_ERR_NO_ERROR || failed_records != 0)
      fail("not everything was delivered");
  }

  int partitions = 0;

 private:
  std::unique_ptr<rd_kafka_t, Destroy> client_;
  std::unique_ptr<rd_kafka_topic_t, Destroy> topic_;
};

struct Reading {
  TimeUs time;
  int device;
};

// One day's messages in the order of their times.
std::vector<Reading> readings(TimeUs begin, int devices, std::mt19937_64& random) {
  std::vector<Reading> all;
  for (int device = 1; device <= devices; ++device) {
    const TimeUs first = begin + (device % 30) * kUsPerSecond;
    for (TimeUs at = first; at <= begin + kDay - 2 * kUsPerSecond; at += device <= kFastDevices ? kFast : kSlow)
      all.push_back({at + static_cast<TimeUs>(random() % 500) * 1'000, device});
  }
  std::sort(all.begin(), all.end(),
            [](const Reading& a, const Reading& b) { return std::tie(a.time, a.device) < std::tie(b.time, b.device); });
  return all;
}

double rounded(double value, double scale) { return std::round(value * scale) / scale; }

class Fleet {
 public:
  Fleet(Producer& producer, int devices)
      : producer_(producer),
        counters_(static_cast<std::size_t>(producer.partitions)),
        packets_(static_cast<std::size_t>(devices) + 1) {
    batch_.tenant = "bench";
    batch_.protocol = telemetry::Protocol::kMqtt5;
    batch_.qos = 1;
    batch_.delivery.connection_epoch = 1;
    for (const char* name : {"temperature", "voltage", "humidity", "energy"}) batch_.points.push_back({name, 0.0, {}});
    for (auto& byte : batch_.ingest_id.start) byte = static_cast<std::uint8_t>(random_());
  }

  void send(const Reading& reading) {
    const double seconds = static_cast<double>(reading.time) / static_cast<double>(kUsPerSecond);
    const auto noise = [this] { return static_cast<double>(random_() % 1'000'000) / 1'000'000; };
    batch_.points[0].value = rounded(21 + 6 * std::sin(seconds / 13'750) + 2 * noise(), 10);
    batch_.points[1].value = rounded(3.6 + 0.3 * noise(), 100);
    batch_.points[2].value = rounded(55 + 20 * std::cos(seconds / 13'750) + 4 * noise(), 10);
    batch_.points[3].value = reading.device * 1'000 + std::floor((seconds - 1'793'491'200) / 7);
    batch_.device = "meter-" + std::to_string(reading.device);
    batch_.topic = "t/bench/" + batch_.device;
    batch_.device_key = reading.device;
    batch_.delivery.publisher = batch_.device;
    batch_.delivery.client_id = batch_.device;
    batch_.delivery.packet_id = ++packets_[static_cast<std::size_t>(reading.device)];
    if (batch_.delivery.packet_id == 0)
      batch_.delivery.packet_id = ++packets_[static_cast<std::size_t>(reading.device)];
    batch_.event_time = reading.time;
    batch_.ingest_time = reading.time + 1'000;
    const std::string key = record_key(batch_.tenant, batch_.device);
    batch_.delivery.payload_hash = random_();
    const int partition = partition_of(key, producer_.partitions);
    batch_.ingest_id.counter = ++counters_[static_cast<std::size_t>(partition)];
    codec_.encode(batch_, value_);
    bytes += value_.size();
    producer_.produce(partition, key, value_);
  }

  std::uint64_t bytes = 0;

 private:
  Producer& producer_;
  std::vector<std::uint64_t> counters_;  // by partition
  std::vector<std::uint16_t> packets_;   // by device
  std::mt19937_64 random_{std::random_device{}()};
  telemetry::Batch batch_;
  telemetry::BatchCodec codec_;
  std::string value_;
};

TimeUs midnight(const char* date) {
  std::tm day{};
  if (std::sscanf(date, "%4d-%2d-%2d", &day.tm_year, &day.tm_mon, &day.tm_mday) != 3) fail("FIRST_DAY is YYYY-MM-DD");
  day.tm_year -= 1900;
  day.tm_mon -= 1;
  return timegm(&day) * kUsPerSecond;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) fail("arguments: BOOTSTRAP TOPIC FIRST_DAY DAYS [DEVICES] (the topic exists)");
  const TimeUs first = midnight(argv[3]);
  const int days = std::atoi(argv[4]);
  const int devices = argc == 6 ? std::atoi(argv[5]) : 10'000;
  if (days < 1 || devices < 1) fail("DAYS and DEVICES are numbers of at least 1");
  Producer producer(argv[1], argv[2]);
  Fleet fleet(producer, devices);
  std::mt19937_64 random(1);
  std::uint64_t messages = 0;
  for (int day = 0; day < days; ++day) {
    for (const Reading& reading : readings(first + day * kDay, devices, random)) {
      fleet.send(reading);
      ++messages;
    }
  }
  producer.end();
  std::printf(R"({"messages": %llu, "points": %llu, "bytes_per_message": %.0f})"
              "\n",
              static_cast<unsigned long long>(messages), static_cast<unsigned long long>(4 * messages),
              static_cast<double>(fleet.bytes) / static_cast<double>(messages));
}
