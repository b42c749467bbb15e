#include "verify/store_reader.hpp"

#include <algorithm>
#include <unordered_map>

#include <millrace/postgres/connection.hpp>
#include <millrace/storage_schema/statements.hpp>

namespace millrace::fleet {
namespace {

constexpr const char* kRowsSql =
    "SELECT device_id, metric, time, value, coalesce(untimed, false) FROM storage.point "
    "WHERE device_id = ANY($1::int4[]) AND metric = ANY($2::int4[]) AND time >= $3::timestamptz "
    "AND (untimed IS NOT TRUE OR time >= $4::timestamptz)";

}  // namespace

StoreReader::StoreReader(std::string database_url, std::string tenant, const Readings& readings)
    : url_(std::move(database_url)), tenant_(std::move(tenant)), readings_(readings) {}

StoreReader::~StoreReader() = default;

Status StoreReader::connect() {
  if (connection_ && connection_->usable()) return {};
  postgres::ConnectOptions options;
  options.url = url_;
  options.application_name = "millrace-fleet";
  options.call_timeout = std::chrono::minutes(1);
  auto connection = postgres::Connection::open(options);
  if (!connection) return connection.error();
  connection_ = std::move(*connection);
  return {};
}

Status StoreReader::learn_metrics() {
  std::vector<std::string> names = readings_.metrics();
  names.emplace_back(kSequenceMetric);
  if (metric_ids_.size() == names.size()) return {};
  postgres::Params params;
  params.text(std::string_view(tenant_)).text_array(names);
  auto rows = connection_->exec(storage_schema::sql::kMetricsByName, params);
  if (!rows) return rows.error();
  metric_ids_.clear();
  metric_indexes_.clear();
  for (int row = 0; row < rows->size(); ++row) {
    const std::string_view name = rows->text(row, 0);
    metric_ids_.push_back(static_cast<std::int32_t>(rows->integer(row, 1)));
    const auto found = std::ranges::find(readings_.metrics(), name);
    metric_indexes_.push_back(found == readings_.metrics().end()
                                  ? StoredPoint::kSequence
                                  : static_cast<int>(found - readings_.metrics().begin()));
  }
  return {};
}

Result<std::vector<std::vector<StoredPoint>>> StoreReader::read(std::span<const std::int32_t> device_keys,
                                                                TimeUs timed_from_us, TimeUs untimed_from_us) {
  if (Status status = connect(); !status) return status.error();
  if (Status status = learn_metrics(); !status) return status.error();
  postgres::Params params;
  params.int4_array(device_keys).int4_array(metric_ids_).timestamptz(timed_from_us).timestamptz(untimed_from_us);
  auto rows = connection_->exec(kRowsSql, params);
  if (!rows) return rows.error();
  std::unordered_map<std::int32_t, std::size_t> places;
  for (std::size_t i = 0; i < device_keys.size(); ++i) places.emplace(device_keys[i], i);
  std::vector<std::vector<StoredPoint>> points(device_keys.size());
  for (int row = 0; row < rows->size(); ++row) {
    StoredPoint point;
    const auto id = static_cast<std::int32_t>(rows->integer(row, 1));
    const auto at = std::ranges::find(metric_ids_, id) - metric_ids_.begin();
    point.metric = metric_indexes_[static_cast<std::size_t>(at)];
    point.time_us = rows->timestamptz(row, 2);
    if (!rows->is_null(row, 3)) point.value = rows->float8(row, 3);
    point.untimed = rows->boolean(row, 4);
    points[places.at(static_cast<std::int32_t>(rows->integer(row, 0)))].push_back(point);
  }
  return points;
}

}  // namespace millrace::fleet
