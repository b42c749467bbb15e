#include "log/transaction_outputs.hpp"

#include <millrace/base/ids.hpp>

#include "log/record_codec.hpp"

namespace millrace::stream {
namespace {

template <typename Numbers>
std::string list_of(const Numbers& numbers) {
  std::string text;
  for (const auto number : numbers) {
    if (!text.empty()) text += ',';
    text += std::to_string(number);
  }
  return text;
}

}  // namespace

void TransactionOutputs::set_source(std::int32_t partition, std::string_view value) {
  partition_ = partition;
  source_ = value;
}

void TransactionOutputs::begin() {
  if (open_ || !status_) return;
  status_ = producer_.begin();
  open_ = status_.ok();
}

void TransactionOutputs::reset() {
  open_ = false;
  urgent_ = false;
  content_ = {};
}

void TransactionOutputs::put(const std::string& topic, std::string_view key, std::string_view value,
                             std::span<const kafka::Header> headers) {
  begin();
  if (!status_) return;
  status_ = producer_.produce(topic, partition_, key, value, headers);
}

void TransactionOutputs::window(const ClosedWindow& closed) {
  std::string key = record_key(closed.tenant, closed.device);
  key.append("/").append(closed.metric);
  put(topics_.windows(), key, encode(closed));
  ++content_.windows;
}

void TransactionOutputs::alert(const Alert& event) {
  put(topics_.alerts(), event.alert_key, encode(event));
  if (event.severity == rules::Severity::kCritical) urgent_ = true;
  if (event.is_open()) {
    ++content_.raised;
    content_.raised_from.push_back(event.ingest_time);
  } else {
    ++content_.cleared;
  }
}

// The whole source record goes there, with what of it was late.
void TransactionOutputs::late(const LateReadings& late) {
  const std::vector<kafka::Header> headers{
      {"tenant", std::string(late.tenant)}, {"device", std::string(late.device)}, {"reason", "late"},
      {"source", late.source.to_string()},  {"points", list_of(late.points)},     {"windows", list_of(late.windows)},
  };
  put(topics_.telemetry_late(), record_key(late.tenant, late.device), source_, headers);
}

}  // namespace millrace::stream
