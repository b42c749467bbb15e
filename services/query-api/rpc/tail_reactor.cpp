#include "rpc/tail_reactor.hpp"

#include <algorithm>

#include <millrace/telemetry/value_proto.hpp>

namespace millrace::query_api {
namespace {

constexpr std::size_t kReadingsPerAnswer = 500;
constexpr std::chrono::seconds kKeyCheck{1};

}  // namespace

TailReactor::TailReactor(TailHub& hub, StreamCalls& calls, rpc::Dispatcher& dispatcher,
                         std::unique_ptr<rpc::CallScope> scope)
    : hub_(hub),
      calls_(calls),
      dispatcher_(dispatcher),
      scope_(std::move(scope)),
      checked_(std::chrono::steady_clock::now()) {
  calls_.add(this);
}

TailReactor::~TailReactor() = default;

void TailReactor::begin(Result<TailFilter> filter) {
  if (!filter.ok()) return end(filter.error());
  if (calls_.ended()) return end(Error{ErrorKind::kUnavailable, "the service is stopping; call again"});
  auto reader = hub_.add(std::move(filter).value());
  if (!reader.ok()) return end(reader.error());
  const auto added = std::move(reader).value();
  {
    const std::lock_guard lock(mutex_);
    reader_ = added;
  }
  added->on_wake([this] { pump(); });
  pump();
}

void TailReactor::end(const Status& outcome) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  ended_ = true;
  Finish(scope_->finish(outcome));
}

void TailReactor::pump() {
  const std::lock_guard lock(mutex_);
  if (ended_ || writing_ || reader_ == nullptr) return;
  TailReader::Taken taken = reader_->take(kReadingsPerAnswer);
  if (taken.live && !announced_) {
    announced_ = true;
    StartSendInitialMetadata();
  }
  if (taken.readings.empty() && taken.missed == 0) return;
  if (const auto now = std::chrono::steady_clock::now(); now - checked_ > kKeyCheck) {
    checked_ = now;
    if (const Status allowed = dispatcher_.authenticate(*scope_); !allowed.ok()) {
      ended_ = true;
      Finish(scope_->finish(allowed));
      return;
    }
  }
  response_.Clear();
  response_.set_missed(taken.missed);
  for (TailReading& reading : taken.readings) {
    auto* out = response_.add_readings();
    out->set_device(std::move(reading.device));
    out->set_metric(std::move(reading.metric));
    out->set_time_us(reading.time);
    out->set_receipt(std::move(reading.receipt));
    telemetry::to_proto(reading.value, *out->mutable_value());
  }
  writing_ = true;
  StartWrite(&response_);
}

void TailReactor::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
  }
  if (ok) pump();
}

void TailReactor::OnCancel() { end(Error{ErrorKind::kUnknownOutcome, "the client went away"}); }

void TailReactor::OnDone() {
  calls_.remove(this);
  if (reader_ != nullptr) {
    hub_.remove(reader_);
    reader_->close();
  }
  {
    // Whoever called Finish() may still hold it.
    const std::lock_guard lock(mutex_);
  }
  delete this;
}

}  // namespace millrace::query_api
