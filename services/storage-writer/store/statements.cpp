#include "store/statements.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <millrace/base/digest.hpp>

namespace millrace::writer {

using postgres::Params;

namespace {

std::string hex_of(const RecordMark& mark) {
  const telemetry::StartId& start = mark.ingest_id.start;
  return to_hex({reinterpret_cast<const char*>(start.data()), start.size()});
}

}  // namespace

Status create_offset(postgres::Connection& connection, std::string_view topic, std::int32_t partition,
                     std::int64_t next_offset, std::string_view cluster_id) {
  auto done = connection.exec(
      "INSERT INTO storage.ingest_offset (topic, part, next_offset, latest_offset, cluster_id)"
      " VALUES ($1, $2::int4, $3::int8, $3::int8, $4) ON CONFLICT DO NOTHING",
      Params{}.text(topic).integer(partition).integer(next_offset).text(cluster_id));
  return done ? Status{} : Status{done.error()};
}

Status move_offsets(postgres::Connection& connection, std::span<const OffsetMove> moves, const OffsetMove*& fenced) {
  if (moves.empty()) return {};
  std::vector<std::string> topics;
  std::vector<std::int32_t> parts;
  std::vector<std::int32_t> generations;
  std::vector<std::optional<std::string>> starts;  // in hexadecimal
  std::array<std::vector<std::int64_t>, 5> numbers;
  for (const OffsetMove& move : moves) {
    topics.emplace_back(move.topic);
    parts.push_back(move.partition);
    generations.push_back(move.generation);
    starts.push_back(move.last ? std::optional(hex_of(*move.last)) : std::nullopt);
    const std::array<std::int64_t, 5> all{move.begin, move.end,
                                          move.last ? static_cast<std::int64_t>(move.last->ingest_id.counter) : 0,
                                          move.last ? move.last->checksum : 0, move.log_time};
    for (std::size_t i = 0; i < all.size(); ++i) numbers[i].push_back(all[i]);
  }
  Params params;
  params.text_array(topics).int4_array(parts).int4_array(generations);
  params.text_array(std::span<const std::optional<std::string>>(starts));
  for (const auto& column : numbers) params.int8_array(column);
  auto moved = connection.exec(
      "UPDATE storage.ingest_offset o SET next_offset = m.stop, last_start = decode(m.mark, 'hex'),"
      " last_counter = CASE WHEN m.mark IS NOT NULL THEN m.counter END,"
      " last_crc = CASE WHEN m.mark IS NOT NULL THEN m.crc END, log_time_us = greatest(o.log_time_us, m.log_time),"
      " updated_at = now()"
      " FROM unnest($1::text[], $2::int4[], $3::int4[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::int8[],"
      " $9::int8[]) WITH ORDINALITY AS m(topic, part, generation, mark, start, stop, counter, crc, log_time, i)"
      " WHERE o.topic = m.topic AND o.part = m.part AND o.generation = m.generation AND o.next_offset = m.start"
      " RETURNING m.i",
      params);
  if (!moved) return moved.error();
  if (static_cast<std::size_t>(moved->size()) == moves.size()) return {};
  std::vector<bool> done(moves.size());
  for (int row = 0; row < moved->size(); ++row) done[static_cast<std::size_t>(moved->integer(row, 0)) - 1] = true;
  fenced = &moves[static_cast<std::size_t>(std::find(done.begin(), done.end(), false) - done.begin())];
  return Error{ErrorKind::kConflict, "another writer owns partition " + std::to_string(fenced->partition) + " of " +
                                         std::string(fenced->topic)};
}

Result<std::vector<std::int32_t>> metric_ids(postgres::Connection& connection, std::span<const MetricName> names) {
  std::vector<std::string> tenants;
  std::vector<std::string> metrics;
  std::vector<std::int16_t> types;
  for (const MetricName& name : names) {
    tenants.push_back(name.tenant);
    metrics.push_back(name.name);
    types.push_back(static_cast<std::int16_t>(name.type));
  }
  // The look-up first: an identity value is drawn for each row that is proposed, and there are only 2^31.
  auto made = connection.exec(
      "INSERT INTO storage.metric AS have (tenant, name, type)"
      " SELECT * FROM unnest($1::text[], $2::text[], $3::int2[]) AS n(t, m, y)"
      " WHERE NOT EXISTS (SELECT 1 FROM storage.metric k WHERE k.tenant = n.t AND k.name = n.m AND (k.type <> 0 OR n.y "
      "= 0))"
      " ORDER BY 1, 2 ON CONFLICT (tenant, name) DO UPDATE SET type = excluded.type WHERE have.type = 0",
      Params{}.text_array(tenants).text_array(metrics).int2_array(std::span<const std::int16_t>(types)));
  if (!made) return made.error();
  auto found = connection.exec(
      "SELECT n.i, k.id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n(t, m, i)"
      " JOIN storage.metric k ON k.tenant = n.t AND k.name = n.m",
      Params{}.text_array(tenants).text_array(metrics));
  if (!found) return found.error();
  if (static_cast<std::size_t>(found->size()) != names.size()) {
    return Error{ErrorKind::kInternal, "storage.metric did not keep a name"};
  }
  std::vector<std::int32_t> ids(names.size());
  for (int i = 0; i < found->size(); ++i) {
    ids[static_cast<std::size_t>(found->integer(i, 0)) - 1] = static_cast<std::int32_t>(found->integer(i, 1));
  }
  return ids;
}

}  // namespace millrace::writer
