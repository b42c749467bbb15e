#include "tail/tail_reader.hpp"

#include <utility>

namespace millrace::query_api {
namespace {

std::size_t size_of(const TailReading& reading) {
  std::size_t size = sizeof(TailReading) + reading.device.size() + reading.metric.size() + reading.receipt.size();
  if (const auto* text = std::get_if<std::string>(&reading.value)) size += text->size();
  if (const auto* json = std::get_if<telemetry::Json>(&reading.value)) size += json->text.size();
  return size;
}

}  // namespace

TailReader::TailReader(TailFilter filter, std::size_t most_readings, std::size_t most_bytes)
    : filter_(std::move(filter)), most_readings_(most_readings), most_bytes_(most_bytes) {}

void TailReader::on_wake(std::function<void()> wake) {
  const std::lock_guard lock(wake_mutex_);
  wake_ = std::move(wake);
}

void TailReader::close() {
  const std::lock_guard lock(wake_mutex_);
  wake_ = nullptr;
}

void TailReader::wake() {
  const std::lock_guard lock(wake_mutex_);
  if (wake_) wake_();
}

void TailReader::set_live() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(live_, true) || !std::exchange(waiting_, false)) return;
  }
  wake();
}

void TailReader::offer(TailReading reading) {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t size = size_of(reading);
    if (queue_.size() >= most_readings_ || bytes_ + size > most_bytes_) {
      ++missed_;
      return;
    }
    bytes_ += size;
    queue_.push_back(std::move(reading));
    if (!std::exchange(waiting_, false)) return;
  }
  wake();
}

TailReader::Taken TailReader::take(std::size_t most) {
  const std::lock_guard lock(mutex_);
  Taken taken;
  taken.live = live_;
  while (!queue_.empty() && taken.readings.size() < most) {
    bytes_ -= size_of(queue_.front());
    taken.readings.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  // A gap is told once the queue is empty, that is where it was in the stream.
  if (queue_.empty()) std::swap(taken.missed, missed_);
  if (taken.readings.empty() && taken.missed == 0) waiting_ = true;
  return taken;
}

}  // namespace millrace::query_api
