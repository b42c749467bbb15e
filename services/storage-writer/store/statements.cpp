#include "store/statements.hpp"

#include <string>

namespace millrace::writer {

using postgres::Params;

Status create_offset(postgres::Connection& connection, std::string_view topic, std::int32_t partition,
                     std::int64_t next_offset, std::string_view cluster_id) {
  auto done = connection.exec(
      "INSERT INTO storage.ingest_offset (topic, part, next_offset, latest_offset, cluster_id)"
      " VALUES ($1, $2::int4, $3::int8, $3::int8, $4) ON CONFLICT DO NOTHING",
      Params{}.text(topic).integer(partition).integer(next_offset).text(cluster_id));
  return done ? Status{} : Status{done.error()};
}

Status move_offset(postgres::Connection& connection, const OffsetMove& move) {
  Params params;
  params.text(move.topic).integer(move.partition).integer(move.generation).integer(move.begin).integer(move.end);
  if (move.last) {
    const telemetry::StartId& start = move.last->ingest_id.start;
    params.bytea({reinterpret_cast<const char*>(start.data()), start.size()})
        .integer(static_cast<std::int64_t>(move.last->ingest_id.counter))
        .integer(move.last->checksum);
  } else {
    params.null().null().null();
  }
  auto moved = connection.exec(
      "UPDATE storage.ingest_offset SET next_offset = $5::int8, last_start = $6::bytea, last_counter = $7::int8,"
      " last_crc = $8::int8, log_time_us = greatest(log_time_us, $9::int8), updated_at = now()"
      " WHERE topic = $1 AND part = $2::int4 AND generation = $3::int4 AND next_offset = $4::int8",
      params.integer(move.log_time));
  if (!moved) return moved.error();
  if (moved->affected() == 1) return {};
  return Error{ErrorKind::kConflict,
               "another writer owns partition " + std::to_string(move.partition) + " of " + std::string(move.topic)};
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
