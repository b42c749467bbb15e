#include "log/progress_writer.hpp"

namespace millrace::notifier {

ProgressWriter::ProgressWriter(std::chrono::milliseconds interval, ProgressStore& store, Dispatcher& dispatcher,
                               const NotifierMetrics& metrics)
    : interval_(interval), store_(store), dispatcher_(dispatcher), metrics_(metrics) {}

ProgressWriter::~ProgressWriter() = default;

void ProgressWriter::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void ProgressWriter::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Status ProgressWriter::write() {
  std::map<std::int32_t, Saved> changed;
  const Status written = store_.write([&] { return changed = dispatcher_.take_changed(); });
  if (written.ok()) {
    metrics_.progress_written.add(static_cast<double>(changed.size()));
  } else {
    metrics_.progress_failed.add();
    dispatcher_.keep_again(changed);
  }
  return written;
}

void ProgressWriter::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, stop, interval_, [&] { return stop.stop_requested(); })) {
    if (const Status written = write(); !written.ok()) {
      log_.limited(faults_, observability::Level::kWarn, "positions were not written; they will be again",
                   {{"error", written.error().message}});
    }
  }
}

}  // namespace millrace::notifier
