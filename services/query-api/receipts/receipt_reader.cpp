#include "receipts/receipt_reader.hpp"

#include <limits>

#include <millrace/base/ids.hpp>
#include <millrace/kafka/dead_letter.hpp>
#include <millrace/storage_schema/statements.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::query_api {
namespace {

namespace sql = storage_schema::sql;
namespace dead_letter = kafka::dead_letter;
using postgres::Params;

Params coordinates(const telemetry::Receipt& receipt, std::int64_t offset) {
  Params params;
  params.integer(receipt.partition).integer(receipt.generation).integer(offset);
  return params;
}

/// The points of a record that are dead now. Those that were replayed are what became of the replay's own points.
Result<std::optional<StoredFacts::Dead>> dead_points(postgres::Connection& database, telemetry::Receipt record) {
  constexpr int kMostReplays = 100;  // of replays that died again
  std::optional<StoredFacts::Dead> found;
  for (int i = 0; i < kMostReplays; ++i) {
    const auto row = database.exec(sql::kDeadLetterOf, coordinates(record, record.offset));
    if (!row.ok()) return row.error();
    if (row->empty()) return std::optional<StoredFacts::Dead>{};
    StoredFacts::Dead dead{row->int4_array(0, 2), std::string(row->text(0, 3))};
    // All points of a replay are those that were dead before it.
    if (found && dead.points.empty()) dead.points = found->points;
    found = std::move(dead);
    if (row->is_null(0, 7)) return found;
    record.generation = static_cast<std::int32_t>(row->integer(0, 6));
    record.offset = row->integer(0, 7);
  }
  return found;
}

std::string tenant_of_key(std::string_view key) {
  const auto parsed = parse_record_key(key);
  return parsed.ok() ? std::string(parsed->first) : std::string();
}

std::string reason_of(const kafka::Record& record) {
  std::string reason(record.header(dead_letter::kReason).value_or(""));
  if (const auto detail = record.header(dead_letter::kDetail); detail && !detail->empty()) {
    reason += (reason.empty() ? "" : ": ") + std::string(*detail);
  }
  return reason;
}

}  // namespace

Result<ReceiptAnswer> ReceiptReader::find(const telemetry::Receipt& receipt, const std::string& tenant,
                                          SteadyTime deadline) {
  if (receipt.dead) return find_dead(receipt, tenant, deadline);
  const auto stored = stored_facts(receipt, deadline);
  if (!stored.ok()) return stored.error();
  const auto log = log_facts(receipt, stored.value(), deadline);
  if (!log.ok()) {
    if (log.error().kind == ErrorKind::kNotFound) return unknown(kNoPartition);
    return log.error();
  }
  return decide(receipt, tenant, stored.value(), log.value());
}

Result<ReceiptAnswer> ReceiptReader::find_dead(const telemetry::Receipt& receipt, const std::string& tenant,
                                               SteadyTime deadline) {
  const auto fetched = log_.fetch({topics_.telemetry_dead(), receipt.partition}, receipt.offset, deadline);
  if (!fetched.ok()) {
    if (fetched.error().kind == ErrorKind::kNotFound) return unknown(kNoPartition);
    return fetched.error();
  }
  if (receipt.offset < fetched->log.low) {
    return ReceiptAnswer{.state = ReceiptState::kExpired, .reason = "older than what the log keeps", .original = {}};
  }
  if (receipt.offset >= fetched->log.high) return unknown(kBeyondTheLog);
  if (!fetched->record || tenant_of_key(fetched->record->key()) != tenant) return unknown(kNotOfTheTenant);
  const kafka::Record& record = *fetched->record;
  const bool refused = record.header(dead_letter::kRefused) == "true";
  return ReceiptAnswer{.state = refused ? ReceiptState::kRefused : ReceiptState::kDeadLettered,
                       .reason = reason_of(record),
                       .original = std::string(record.header(dead_letter::kSource).value_or(""))};
}

Result<StoredFacts> ReceiptReader::stored_facts(const telemetry::Receipt& receipt, SteadyTime deadline) {
  auto connection = pool_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  postgres::Connection& database = **connection;
  StoredFacts facts;
  // The position first: what is read after it belongs to it or is newer.
  const auto position = database.exec(sql::kOffset, Params{}.text(topics_.telemetry()).integer(receipt.partition));
  if (!position.ok()) return position.error();
  if (!position->empty()) {
    facts.known_partition = true;
    facts.generation = static_cast<std::int32_t>(position->integer(0, 0));
    facts.next_offset = position->integer(0, 1);
  }
  if (receipt.generation < facts.generation) {
    const auto breaks = database.exec(sql::kLogBreaks, Params{}.integer(receipt.partition).integer(receipt.generation));
    if (!breaks.ok()) return breaks.error();
    for (int row = 0; row < breaks->size(); ++row) {
      facts.breaks.push_back({.generation = static_cast<std::int32_t>(breaks->integer(row, 0)),
                              .lost_from = breaks->integer(row, 1),
                              .lost_to = breaks->integer(row, 2),
                              .resume = breaks->integer(row, 3),
                              .reason = std::string(breaks->text(row, 4))});
    }
  }
  if (receipt.offset >= facts.next_offset) return facts;
  const auto copy = database.exec(sql::kDroppedCopy, coordinates(receipt, receipt.offset));
  if (!copy.ok()) return copy.error();
  if (!copy->empty()) facts.original_offset = copy->integer(0, 0);
  telemetry::Receipt record = receipt;
  record.offset = facts.original_offset.value_or(receipt.offset);
  auto dead = dead_points(database, record);
  if (!dead.ok()) return dead.error();
  facts.dead = *std::move(dead);
  return facts;
}

Result<LogFacts> ReceiptReader::log_facts(const telemetry::Receipt& receipt, const StoredFacts& stored,
                                          SteadyTime deadline) {
  LogFacts facts;
  const TenantCache::Key key{stored.generation, receipt.partition, receipt.offset};
  // A known owner saves the look into the log, unless the number of points is needed or the record may have expired
  // since.
  if (!stored.dead) {
    if (auto tenant = tenants_.get(key)) {
      facts.high = std::numeric_limits<std::int64_t>::max();
      facts.tenant = std::move(tenant);
      return facts;
    }
  }
  const auto remember = [&](const kafka::Record& record) {
    tenants_.put({stored.generation, record.partition(), record.offset()}, tenant_of_key(record.key()));
  };
  const auto fetched = log_.fetch({topics_.telemetry(), receipt.partition}, receipt.offset, deadline, remember);
  if (!fetched.ok()) return fetched.error();
  facts.low = fetched->log.low;
  facts.high = fetched->log.high;
  if (!fetched->record) return facts;
  remember(*fetched->record);
  facts.tenant = tenant_of_key(fetched->record->key());
  if (stored.dead) {
    telemetry::BatchCodec codec;
    telemetry::Batch batch;
    if (codec.decode(fetched->record->value(), batch).ok()) facts.points = batch.points.size();
  }
  return facts;
}

}  // namespace millrace::query_api
