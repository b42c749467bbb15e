#include "export/worker_encoder.hpp"

#include <array>
#include <charconv>
#include <string_view>
#include <variant>

#include <unistd.h>

namespace millrace::query_api {
namespace {

using archive_format::Fields;
using archive_format::FrameType;

constexpr std::size_t kNamesOfAFrame = 200;  // a list of fields has at most 256
constexpr std::size_t kPointBytes = 32;      // of a point in a block, beside its text

using Digits = std::array<char, 24>;

/// The value of a row as the worker's `export` wants it: doubles as numbers, all else as text, integers in `digits`.
struct RowValue {
  archive::Row& row;
  Digits& digits;

  void operator()(double number) const { row.number = number; }
  void operator()(std::int64_t number) const {
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    set(1, {digits.data(), end.ptr});
  }
  void operator()(bool truth) const { set(2, truth ? "true" : "false"); }  // NOLINT: a value, not a mode
  void operator()(const std::string& text) const { set(3, text); }
  void operator()(const telemetry::Json& json) const { set(4, json.text); }

  void set(std::uint8_t kind, std::string_view other) const {
    row.kind = kind;
    row.other = other;
  }
};

}  // namespace

Status WorkerEncoder::start(const Patience& patience) {
  const std::string& program = cold_.worker();
  if (::access(program.c_str(), X_OK) != 0) {
    return Error{ErrorKind::kPrecondition, "exports as " + format_ + " need the program parquet-worker, and there is " +
                                               "none at " + program +
                                               ": install it (it needs Apache Arrow), set ARCHIVE_WORKER, or export "
                                               "CSV"};
  }
  auto seat = cold_.seat(patience);
  if (!seat.ok()) return seat.error();
  auto call = archive::WorkerCall::start(program, {{"command", "export"}, {"format", format_}}, patience.deadline);
  if (!call.ok()) return call.error();
  seat_ = std::move(seat).value();
  call_ = std::move(call).value();
  return {};
}

void WorkerEncoder::be_patient(const Patience& patience) {
  call_->set_deadline(patience.deadline);
  call_->set_interrupt(patience.gave_up);
}

Result<bool> WorkerEncoder::begin(std::string& data, const Patience& patience) {
  if (!call_) {
    if (auto started = start(patience); !started.ok()) return started.error();
  }
  be_patient(patience);
  if (auto said = advance(data); !said.ok()) return said.error();
  return !awaited_ && !all_given_;
}

Status WorkerEncoder::add(const ExportPoint& point, std::string& /*data*/) {
  archive::Row row;
  row.key = {point.device_key, point.metric_key, point.time};
  row.untimed = point.untimed;
  Digits digits{};
  std::visit(RowValue{.row = row, .digits = digits}, point.value);
  if (!block_.add(row)) {
    return Error{ErrorKind::kTooLarge, "a text of " + std::string(point.device) + ", " + std::string(point.metric) +
                                           " has " + std::to_string(row.other.size()) + " bytes, exports as " +
                                           format_ + " take " + std::to_string(archive::RowBlock::kMostText) +
                                           "; export CSV"};
  }
  if (device_ != point.device_key) names_.try_emplace("d" + std::to_string(point.device_key), point.device);
  if (metric_ != point.metric_key) names_.try_emplace("m" + std::to_string(point.metric_key), point.metric);
  device_ = point.device_key;
  metric_ = point.metric_key;
  held_ += kPointBytes + row.other.size();
  return {};
}

Status WorkerEncoder::give_points() {
  Fields some;
  for (auto& [key, name] : names_) {
    some.emplace(key, std::move(name));
    if (some.size() < kNamesOfAFrame) continue;
    if (auto sent = call_->send_item(some); !sent.ok()) return sent;
    some.clear();
  }
  if (!some.empty()) {
    if (auto sent = call_->send_item(some); !sent.ok()) return sent;
  }
  if (auto sent = call_->send(block_); !sent.ok()) return sent;
  awaited_ = true;
  block_.clear();
  names_.clear();
  device_.reset();
  metric_.reset();
  held_ = 0;
  return {};
}

Status WorkerEncoder::end(bool last, std::string& data, const Patience& patience) {
  be_patient(patience);
  if (!block_.empty()) {
    if (auto given = give_points(); !given.ok()) return given;
  }
  all_given_ = last;
  return last ? advance(data) : Status{};
}

Status WorkerEncoder::advance(std::string& data) {
  while (!complete_ && data.size() < kEnoughBytes) {
    if (awaited_) {
      if (auto taken = take_frame(data); !taken.ok()) return taken;
    } else if (all_given_) {
      if (auto told = call_->end_rows(); !told.ok()) return told;
      ending_ = awaited_ = true;
    } else {
      return {};
    }
  }
  return {};
}

Status WorkerEncoder::take_frame(std::string& data) {
  // A worker that takes long keeps no other export from its turn.
  const auto aside = rpc::WorkerPool::step_aside();
  const auto frame = call_->receive();
  if (!frame.ok()) {
    // What this program said was wrong, not what its caller said.
    const bool ours = frame.error().kind == ErrorKind::kInvalid;
    return Error{ours ? ErrorKind::kInternal : frame.error().kind, frame.error().message};
  }
  if (frame->type == FrameType::kBytes) {
    data += frame->payload;
    return {};
  }
  awaited_ = false;
  if (frame->type == FrameType::kItem && !ending_) return {};
  complete_ = frame->type == FrameType::kDone && ending_;
  if (complete_) return {};
  return Error{ErrorKind::kInternal, "parquet-worker ended an export before all points were given"};
}

}  // namespace millrace::query_api
