#include "verify/readable_sampler.hpp"

#include <algorithm>
#include <chrono>

namespace millrace::fleet {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPoll = std::chrono::milliseconds(5);
constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

ReadableSampler::ReadableSampler(const rpc::ClientOptions& query, const std::string& tenant, const Readings& readings,
                                 const std::vector<Device>& devices)
    : client_(query, tenant),
      readings_(readings),
      devices_(devices),
      take_untimed_(readings.options().untimed_share >= 1) {}

ReadableSampler::~ReadableSampler() = default;

void ReadableSampler::start() {
  wanted_ = true;
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void ReadableSampler::stop() {
  wanted_ = false;
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void ReadableSampler::on_sent(std::size_t device, const Message& message) {
  if (!wanted_.load(std::memory_order_relaxed) || (!message.timed && !take_untimed_)) return;
  wanted_ = false;
  const std::lock_guard lock(mutex_);
  sample_ = Sample{device, message};
}

void ReadableSampler::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::optional<Sample> sample;
    {
      const std::lock_guard lock(mutex_);
      sample.swap(sample_);
    }
    if (!sample) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    follow(*sample);
    wanted_ = !stop.stop_requested();
  }
}

void ReadableSampler::follow(const Sample& sample) {
  constexpr TimeUs kSlackUs = 2 * kUsPerSecond;
  const Message& message = sample.message;
  const TimeUs from = message.timed ? message.time_us : message.time_us - kSlackUs;
  const TimeUs to = message.timed ? message.time_us + 1 : message.time_us + 120 * kUsPerSecond;
  const auto give_up = Clock::now() + kPatience;
  while (Clock::now() < give_up) {
    const auto asked = Clock::now();
    // A failed call (a service is down, the device is not known yet) is asked again like one without the point.
    const auto values = client_.integers(devices_[sample.device].id, kSequenceMetric, from, to);
    if (values && std::ranges::find(*values, readings_.sequence_of(message)) != values->end()) {
      const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch());
      latencies_.add(now.count() - message.due_ns);
      return;
    }
    std::this_thread::sleep_until(asked + kPoll);
  }
  ++gave_up_;
}

}  // namespace millrace::fleet
