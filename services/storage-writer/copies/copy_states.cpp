#include "copies/copy_states.hpp"

#include <algorithm>

#include <millrace/telemetry/copy_rules.hpp>

namespace millrace::writer {
namespace {

using postgres::Params;

constexpr std::size_t kPieceBytes = 1U << 20;

}  // namespace

Result<std::optional<CopyStateRow>> read_copy_state(postgres::Connection& connection, std::string_view topic,
                                                    std::int32_t partition) {
  auto transaction = postgres::Transaction::begin(connection);
  if (!transaction) return transaction.error();
  // Another writer may replace the pieces meanwhile.
  if (auto set = connection.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"); !set)
    return set.error();
  auto head = connection.exec(
      "SELECT s.generation, s.log_offset, o.next_offset FROM storage.copy_state s"
      " JOIN storage.ingest_offset o USING (topic, part) WHERE s.topic = $1 AND s.part = $2::int4",
      Params{}.text(topic).integer(partition));
  if (!head) return head.error();
  if (head->empty()) return std::optional<CopyStateRow>{};
  CopyStateRow state;
  state.partition = partition;
  state.generation = static_cast<std::int32_t>(head->integer(0, 0));
  state.offset = head->integer(0, 1);
  state.position = head->integer(0, 2);
  for (std::int64_t piece = 0; state.bytes.size() <= telemetry::CopyRules::kMaxSavedBytes; ++piece) {
    auto rows = connection.exec(
        "SELECT bytes FROM storage.copy_state_piece WHERE topic = $1 AND part = $2::int4 AND piece = $3::int4",
        Params{}.text(topic).integer(partition).integer(piece));
    if (!rows) return rows.error();
    if (rows->empty()) break;
    state.bytes += rows->text(0, 0);
  }
  return std::optional{std::move(state)};
}

Result<bool> save_copy_state(postgres::Connection& connection, std::string_view topic, const CopyStateRow& state) {
  auto transaction = postgres::Transaction::begin(connection);
  if (!transaction) return transaction.error();
  auto head = connection.exec(
      "INSERT INTO storage.copy_state AS s (topic, part, generation, log_offset)"
      " SELECT o.topic, o.part, o.generation, $4::int8 FROM storage.ingest_offset o"
      " WHERE o.topic = $1 AND o.part = $2::int4 AND o.generation = $3::int4 AND o.next_offset >= $4::int8"
      " ON CONFLICT (topic, part) DO UPDATE SET generation = excluded.generation, log_offset = excluded.log_offset,"
      " saved_at = now() WHERE (s.generation, s.log_offset) < (excluded.generation, excluded.log_offset)",
      Params{}.text(topic).integer(state.partition).integer(state.generation).integer(state.offset));
  if (!head) return head.error();
  if (head->affected() == 0) return false;
  auto cleared = connection.exec("DELETE FROM storage.copy_state_piece WHERE topic = $1 AND part = $2::int4",
                                 Params{}.text(topic).integer(state.partition));
  if (!cleared) return cleared.error();
  const std::string_view bytes = state.bytes;
  for (std::size_t at = 0; at < bytes.size(); at += kPieceBytes) {
    auto put = connection.exec(
        "INSERT INTO storage.copy_state_piece (topic, part, piece, bytes) VALUES ($1, $2::int4, $3::int4, $4::bytea)",
        Params{}
            .text(topic)
            .integer(state.partition)
            .integer(static_cast<std::int64_t>(at / kPieceBytes))
            .bytea(bytes.substr(at, kPieceBytes)));
    if (!put) return put.error();
  }
  if (auto done = transaction->commit(); !done) return done.error();
  return true;
}

Status discard_copy_state(postgres::Connection& connection, std::string_view topic, const CopyStateRow& state) {
  auto done = connection.exec(
      "DELETE FROM storage.copy_state WHERE topic = $1 AND part = $2::int4 AND generation = $3::int4"
      " AND log_offset = $4::int8",
      Params{}.text(topic).integer(state.partition).integer(state.generation).integer(state.offset));
  return done ? Status{} : Status{done.error()};
}

}  // namespace millrace::writer
