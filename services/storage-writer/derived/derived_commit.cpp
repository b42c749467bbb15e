// The committing half of DerivedWriter: batch to transaction.
#include <algorithm>

#include <millrace/base/ids.hpp>
#include <millrace/kafka/dead_letter.hpp>

#include "derived/derived_writer.hpp"

namespace millrace::writer {
namespace {

using std::chrono::steady_clock;

// Keys are `<tenant>/<device>/<metric>` and `<tenant>/<rule>/<device>/<metric>`; ids hold no slash. `tenant/device` of
// a key that is one, else the key as it is.
std::string owner_of(std::string_view key, int device_part) {
  const std::string_view tenant = key.substr(0, key.find('/'));
  std::string_view rest = key;
  for (int i = 0; i < device_part; ++i) {
    const std::size_t slash = rest.find('/');
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  }
  const std::string_view device = rest.substr(0, rest.find('/'));
  return is_valid_id(tenant) && is_valid_id(device) ? record_key(tenant, device) : std::string(key);
}

}  // namespace

// False: end this consumer and make another.
bool DerivedWriter::store_if_due(kafka::Consumer& consumer) {
  if (!is_due()) return true;
  Outcome outcome = Outcome::kAgain;
  while (outcome == Outcome::kAgain) outcome = try_store();
  if (outcome == Outcome::kRetry) next_try_ = steady_clock::now() + retry_.next();
  if (outcome == Outcome::kReopen) {
    if (stopping_) return false;  // what the batch held is read again at the next start
    return reopen(consumer, "a batch was given up").ok();
  }
  return true;
}

DerivedWriter::Outcome DerivedWriter::try_store() {
  Status ready = send_dead();
  if (ready) ready = store_.connect();
  if (ready) ready = store_.prepare(batch_);
  if (!ready) return try_later(ready.error(), observability::Level::kWarn);
  std::optional<kafka::TopicPartition> fenced;
  const auto counts = store_.commit(batch_, fenced);
  if (counts) {
    committed(*counts);
    return Outcome::kDone;
  }
  if (fenced) {
    metrics_.fenced.add();
    log_.warn("fenced: the offset is not the one this batch begins at",
              {{"topic", fenced->topic}, {"partition", fenced->partition}});
    return Outcome::kReopen;
  }
  return after_failure(counts.error());
}

DerivedWriter::Outcome DerivedWriter::after_failure(const Error& error) {
  if (error.kind == ErrorKind::kUnknownOutcome) {
    // What the database now holds decides; reading it again from there is the one path that is always right.
    metrics_.unknown_commits.add();
    store_.disconnect();
    return Outcome::kReopen;
  }
  switch (postgres::disposition_of(store_.last_error().sqlstate)) {
    case postgres::Disposition::kRetry:
      return try_later(error, observability::Level::kWarn);
    case postgres::Disposition::kPoison:
      if (const Status buried = bury(); !buried) return try_later(buried.error(), observability::Level::kError);
      return Outcome::kAgain;
    case postgres::Disposition::kStop:
      break;
  }
  return try_later(error, observability::Level::kError);
}

DerivedWriter::Outcome DerivedWriter::try_later(const Error& error, observability::Level level) {
  metrics_.retries.add();
  note(error.message);
  log_.limited(limiter_, level, "windows and alerts cannot be stored and wait", {{"error", error.message}});
  if (!store_.connected()) store_.disconnect();
  return Outcome::kRetry;
}

// Takes the records that the database refuses out of the batch and notes them as dead.
Status DerivedWriter::bury() {
  const std::string why = store_.last_error().sqlstate + ": " + store_.last_error().message;
  const auto refused = store_.refused(batch_);
  if (!refused) return refused.error();
  if (refused->empty()) return Error{ErrorKind::kInternal, "no single record is refused: " + why};
  buried_in_batch_ += refused->size();
  if (buried_in_batch_ > config_.max_refused_points) {
    return Error{ErrorKind::kInternal, "too many records are refused; a changed schema looks like this: " + why};
  }
  const auto is_refused = [&](const auto& row) {
    return std::binary_search(refused->begin(), refused->end(), row.source);
  };
  std::erase_if(batch_.windows, is_refused);
  std::erase_if(batch_.alerts, is_refused);
  for (const std::size_t source : *refused) batch_.dead.push_back({source, why});
  return {};
}

Status DerivedWriter::send_dead() {
  namespace names = kafka::dead_letter;
  // With its headers it must still fit into the topic.
  constexpr std::size_t kMostValue = 512 * 1024;
  for (DerivedDeadLetter& dead : batch_.dead) {
    if (dead.sent) continue;
    const kafka::Record& record = batch_.records[dead.source];
    const bool is_window = record.topic() == config_.topics.windows();
    const std::string owner = owner_of(record.key(), is_window ? 1 : 2);
    const auto parsed = parse_record_key(owner);
    const std::string where =
        std::string(record.topic()) + ' ' + std::to_string(record.partition()) + ':' + std::to_string(record.offset());
    kafka::OutgoingRecord out;
    out.topic = config_.topics.telemetry_dead();
    out.key = owner;
    out.value = std::string(record.value().substr(0, kMostValue));
    out.headers = {{std::string(names::kTenant), parsed ? std::string(parsed->first) : std::string{}},
                   {std::string(names::kDevice), parsed ? std::string(parsed->second) : std::string{}},
                   {std::string(names::kReason), "not_storable"},
                   {std::string(names::kDetail), dead.reason},
                   {std::string(names::kTimeUs), std::to_string(now_us())},
                   {std::string(names::kLog), where}};
    const auto sent = producer_.send_one(out);
    if (!sent) return sent.error();
    dead.sent = true;
    metrics_.derived_dead.add();
    log_.limited(limiter_, observability::Level::kWarn, "a record goes to the dead letters",
                 {{"record", where}, {"error", dead.reason}});
  }
  return {};
}

void DerivedWriter::committed(const DerivedCounts& counts) {
  metrics_.windows.add(static_cast<double>(counts.windows));
  metrics_.alerts.add(static_cast<double>(counts.alerts));
  metrics_.derived_batches.add();
  for (const auto& [where, slice] : batch_.slices) committed_[where] = slice.end;
  note(std::to_string(parts_.size()) + " partitions of windows and alerts");
  batch_ = {};
  buried_in_batch_ = 0;
  retry_.reset();
  next_try_ = {};
}

}  // namespace millrace::writer
