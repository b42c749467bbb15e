#include "replay/dead_letter_replay.hpp"

#include <algorithm>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>
#include <millrace/kafka/dead_letter.hpp>
#include <millrace/telemetry/payload.hpp>

namespace millrace::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
namespace names = kafka::dead_letter;

constexpr milliseconds kProduce{10'000};

milliseconds time_left(steady_clock::time_point deadline, milliseconds most) {
  return std::clamp(std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()), milliseconds{1}, most);
}

Error not_found(const telemetry::Receipt& dead_letter) {
  return {ErrorKind::kNotFound, "there is no dead letter " + dead_letter.to_string() + " (any more)"};
}

// Every key is `tenant/device`; that of a record that nobody could read may be none.
bool is_of(std::string_view record_key, const std::string& tenant) {
  const auto key = parse_record_key(record_key);
  return key.ok() && key->first == tenant;
}

Result<telemetry::Batch> readable(std::string_view value) {
  telemetry::Batch batch;
  const Status decoded = telemetry::BatchCodec().decode(value, batch);
  if (!decoded.ok()) {
    return Error{ErrorKind::kPrecondition, "its points cannot be read: " + decoded.error().message};
  }
  if (batch.device_key <= 0) return Error{ErrorKind::kPrecondition, "its record names no device"};
  return batch;
}

// The points of a correction: what a device may not send is not taken from an operator either.
Result<telemetry::Batch> decode(const DeadLetterReplay::Correction& correction, std::string_view device, TimeUs now) {
  const auto format = correction.content_type.empty() ? telemetry::PayloadFormat::kJson
                                                      : telemetry::format_of_media_type(correction.content_type);
  if (!format || *format == telemetry::PayloadFormat::kText) {
    return Error{ErrorKind::kInvalid, "content_type: this is not one of the formats that name their metrics"};
  }
  telemetry::DecodeOptions options;
  options.device = device;
  options.now = now;
  telemetry::Batch batch;
  if (auto fault = telemetry::PayloadDecoder().decode(*format, correction.payload, options, batch)) {
    return Error{ErrorKind::kInvalid, "the corrected payload: " + fault->message};
  }
  return batch;
}

}  // namespace

DeadLetterReplay::DeadLetterReplay(kafka::Settings kafka, kafka::TopicNames topics, postgres::Pool& database)
    : kafka_(std::move(kafka)), topics_(std::move(topics)), database_(database), producer_(kafka_, kProduce) {
  const std::string start = random_bytes(ingest_id_.start.size());
  std::copy(start.begin(), start.end(), ingest_id_.start.begin());
}

Result<telemetry::Receipt> DeadLetterReplay::replay(const std::string& tenant, const telemetry::Receipt& dead_letter,
                                                    const std::optional<Correction>& correction, SteadyTime deadline) {
  const std::unique_lock lock(mutex_, deadline);
  if (!lock.owns_lock()) return Error{ErrorKind::kThrottled, "another dead letter is being replayed; try again"};
  const auto letter = fetch(dead_letter, deadline);
  if (!letter.ok()) return letter.error();
  if (!is_of(letter->key, tenant)) return not_found(dead_letter);
  std::optional<telemetry::Batch> corrected;
  if (correction) {
    auto decoded = decode(*correction, parse_record_key(letter->key)->second, letter->time);
    if (!decoded.ok()) return decoded.error();
    corrected = *std::move(decoded);
  }
  ++ingest_id_.counter;
  const bool refused = letter->header(names::kRefused) == "true";
  const auto prepared = refused ? prepare_refused(*letter, dead_letter, corrected, deadline)
                                : prepare(*letter, dead_letter, corrected, deadline);
  if (!prepared.ok()) return prepared.error();
  return send(*letter, *prepared, deadline);
}

Result<DeadLetterReplay::Prepared> DeadLetterReplay::prepare(const Letter& letter,
                                                             const telemetry::Receipt& dead_letter,
                                                             const std::optional<telemetry::Batch>& corrected,
                                                             SteadyTime deadline) {
  if (const auto log = letter.header(names::kLog)) {
    return Error{ErrorKind::kPrecondition, "it is a record of " + *log + ", not one of telemetry"};
  }
  auto record = readable(letter.value);
  if (!record.ok()) return record.error();
  const auto source = source_of(letter, deadline);
  if (!source.ok()) return source.error();
  auto message = corrected
                     ? corrected_message(*std::move(record), *corrected, dead_letter, source->receipt, ingest_id_)
                     : replay_message(*std::move(record), source->points, dead_letter, source->receipt, ingest_id_);
  if (!message.ok()) return message.error();
  // Beside the record it comes from: the writer marks that one as replayed.
  return Prepared{*std::move(message), source->receipt.partition};
}

Result<DeadLetterReplay::Prepared> DeadLetterReplay::prepare_refused(const Letter& letter,
                                                                     const telemetry::Receipt& dead_letter,
                                                                     const std::optional<telemetry::Batch>& corrected,
                                                                     SteadyTime deadline) {
  if (!corrected) {
    return Error{ErrorKind::kPrecondition,
                 "the payload was refused and the device was told so; it was never acknowledged, and is not replayed "
                 "without a correction"};
  }
  const auto key = parse_record_key(letter.key);
  if (!key.ok()) return key.error();
  if (auto fresh = check_uncorrected(dead_letter, deadline); !fresh.ok()) return fresh.error();
  const auto device_key = device_key_of(key->first, key->second, deadline);
  if (!device_key.ok()) return device_key.error();
  telemetry::Batch record;
  record.ingest_time = letter.time;
  record.tenant = std::string(key->first);
  record.device = std::string(key->second);
  record.device_key = *device_key;
  record.topic = letter.header(names::kTopic).value_or("");
  auto message = corrected_message(std::move(record), *corrected, dead_letter, dead_letter, ingest_id_);
  if (!message.ok()) return message.error();
  return Prepared{*std::move(message), kafka::kAnyPartition};
}

Result<std::int32_t> DeadLetterReplay::device_key_of(std::string_view tenant, std::string_view device,
                                                     SteadyTime deadline) {
  auto connection = database_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  const auto rows = (*connection)
                        ->exec("SELECT device_key FROM registry.device WHERE tenant = $1 AND device = $2",
                               postgres::Params{}.text(tenant).text(device));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) {
    return Error{ErrorKind::kPrecondition, "its device " + std::string(device) + " is not in the registry any more"};
  }
  return static_cast<std::int32_t>(rows->integer(0, 0));
}

Status DeadLetterReplay::check_uncorrected(const telemetry::Receipt& dead_letter, SteadyTime deadline) {
  auto connection = database_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  const auto rows = (*connection)
                        ->exec(
                            "SELECT part, generation, log_offset FROM storage.corrected_letter"
                            " WHERE dead_part = $1::int4 AND dead_offset = $2::int8",
                            postgres::Params{}.integer(dead_letter.partition).integer(dead_letter.offset));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return {};
  const telemetry::Receipt by{static_cast<std::int32_t>(rows->integer(0, 0)), rows->integer(0, 2),
                              static_cast<std::int32_t>(rows->integer(0, 1)), false};
  return Error{ErrorKind::kAlreadyExists, "it was corrected by " + by.to_string()};
}

Result<DeadLetterReplay::Generations> DeadLetterReplay::generations(SteadyTime deadline) {
  auto connection = database_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  const auto rows = (*connection)
                        ->exec("SELECT part, generation FROM storage.ingest_offset WHERE topic = $1",
                               postgres::Params{}.text(topics_.telemetry()));
  if (!rows.ok()) return rows.error();
  Generations found;
  for (int row = 0; row < rows->size(); ++row) {
    found[static_cast<std::int32_t>(rows->integer(row, 0))] = static_cast<std::int32_t>(rows->integer(row, 1));
  }
  return found;
}

Result<telemetry::Receipt> DeadLetterReplay::send(const Letter& letter, const Prepared& prepared, SteadyTime deadline) {
  const auto known = generations(deadline);
  if (!known.ok()) return known.error();
  kafka::OutgoingRecord out;
  out.topic = topics_.telemetry();
  out.partition = prepared.partition;
  out.key = letter.key;
  std::string bytes;
  telemetry::BatchCodec().encode(prepared.message.batch, bytes);
  out.value = std::move(bytes);
  if (!prepared.message.untimed.empty()) {
    out.headers.push_back({std::string(names::kUntimed), names::join_indexes(prepared.message.untimed)});
  }
  const auto sent = producer_.send_one(out);
  if (!sent.ok()) return sent.error();
  const auto found = known->find(sent->partition);
  return telemetry::Receipt{sent->partition, sent->offset, found == known->end() ? 0 : found->second, false};
}

std::optional<std::string> DeadLetterReplay::Letter::header(std::string_view name) const {
  for (const kafka::Header& one : headers) {
    if (one.name == name) return one.value;
  }
  return std::nullopt;
}

Result<DeadLetterReplay::Letter> DeadLetterReplay::fetch(const telemetry::Receipt& dead_letter,
                                                         SteadyTime deadline) const {
  kafka::ConsumerOptions options;
  options.prefetch_bytes = 4 << 20;
  options.fetch_wait = milliseconds{20};
  kafka::Consumer consumer(kafka_, options);
  const kafka::TopicPartition where{topics_.telemetry_dead(), dead_letter.partition};
  const auto log = consumer.watermarks(where, time_left(deadline, milliseconds{10'000}));
  if (!log.ok()) return log.error().kind == ErrorKind::kNotFound ? not_found(dead_letter) : log.error();
  if (dead_letter.offset < log->low || dead_letter.offset >= log->high) return not_found(dead_letter);
  const kafka::Position start{where, dead_letter.offset};
  if (auto assigned = consumer.assign({&start, 1}); !assigned.ok()) return assigned.error();
  while (steady_clock::now() < deadline) {
    kafka::Polled polled = consumer.poll(time_left(deadline, milliseconds{200}));
    if (polled.kind == kafka::Polled::Kind::kRecord) {
      if (polled.record.offset() != dead_letter.offset) return not_found(dead_letter);
      const kafka::Record& record = polled.record;
      return Letter{std::string(record.key()), std::string(record.value()), record.headers(), record.timestamp_us()};
    }
    if (polled.kind == kafka::Polled::Kind::kEndOfPartition) return not_found(dead_letter);
    if (polled.kind == kafka::Polled::Kind::kFault && polled.fault != kafka::Fault::kTransient) {
      return Error{ErrorKind::kUnavailable, "the log cannot be read: " + polled.message};
    }
  }
  return Error{ErrorKind::kUnavailable, "Kafka does not answer in time; try again later"};
}

// The row decides which points are dead; the record in telemetry.dead only has the bytes.
Result<DeadLetterReplay::Source> DeadLetterReplay::source_of(const Letter& letter, SteadyTime deadline) {
  const auto receipt = telemetry::parse_receipt(letter.header(names::kSource).value_or(""));
  if (!receipt.ok() || receipt->dead) {
    return Error{ErrorKind::kPrecondition, "it does not say which record it comes from"};
  }
  auto connection = database_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  const auto rows =
      (*connection)
          ->exec(
              "SELECT points, replayed_generation, replayed_offset FROM storage.dead_letter"
              " WHERE part = $1::int4 AND generation = $2::int4 AND log_offset = $3::int8",
              postgres::Params{}.integer(receipt->partition).integer(receipt->generation).integer(receipt->offset));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) {
    return Error{ErrorKind::kPrecondition, "no point of " + receipt->to_string() + " is dead by the database's word"};
  }
  if (!rows->is_null(0, 2)) {
    const telemetry::Receipt by{receipt->partition, rows->integer(0, 2), static_cast<std::int32_t>(rows->integer(0, 1)),
                                false};
    return Error{ErrorKind::kAlreadyExists, "it was replayed by " + by.to_string()};
  }
  return Source{*receipt, rows->int4_array(0, 0)};
}

}  // namespace millrace::registry
