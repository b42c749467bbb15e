#include "catalogue/catalogue.hpp"

#include <algorithm>

#include <millrace/storage_schema/archive_rows.hpp>

namespace millrace::archiver {

using postgres::Params;

namespace {

constexpr int kFetchRows = 20'000;

/// The rows of a table in a transaction of their own.
class TableRows final : public archive::RowSource {
 public:
  explicit TableRows(postgres::Connection& connection) : connection_(connection) {}
  ~TableRows() override {
    rows_.reset();
    connection_.rollback();
  }

  Status open(const std::string& table) {
    // One snapshot, taken after begin() was committed: what comes later is noted as a change.
    if (auto begun = connection_.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); !begun) return begun;
    auto opened =
        storage_schema::CursorRows::open(connection_,
                                         "SELECT device_id, metric, time, value, kind, other, untimed FROM storage." +
                                             postgres::quote_identifier(table) + " ORDER BY device_id, metric, time",
                                         kFetchRows);
    if (!opened) return opened.error();
    rows_ = std::move(*opened);
    return {};
  }

  Result<const archive::Row*> next() override { return rows_->next(); }

 private:
  postgres::Connection& connection_;
  std::unique_ptr<storage_schema::CursorRows> rows_;
};

Params day_params(const ArchivedFile& file) {
  Params params;
  params.text(file.day).integer(file.generation);
  return params;
}

Params file_params(const ArchivedFile& file) {
  Params params = day_params(file);
  params.text(file.key).integer(file.rows).timestamptz(file.min_time).timestamptz(file.max_time);
  params.integer(file.bytes).text(file.sha256).text(file.rows_hash);
  return params;
}

void add(const FileContent& content, Params& params) {
  params.int4_array(content.devices).int4_array(content.metrics).int4_array(content.points);
}

FileContent content_at(const postgres::Rows& rows, int columns) {
  FileContent content;
  if (rows.empty()) return content;
  content.devices = rows.int4_array(0, 0);
  content.metrics = rows.int4_array(0, 1);
  if (columns > 2) content.points = rows.int4_array(0, 2);
  return content;
}

}  // namespace

void FileContent::add(std::int32_t device, std::int32_t metric) {
  if (devices.empty() || devices.back() != device || metrics.back() != metric) {
    devices.push_back(device);
    metrics.push_back(metric);
    points.push_back(0);
  }
  ++points.back();
}

std::string partition_of(const std::string& day) {
  std::string name = "sample_" + day;
  std::erase(name, '-');
  return name;
}

Result<bool> Catalogue::take_lead() {
  if (connection_ && connection_->usable()) return true;
  auto opened = postgres::Connection::open(options_);
  if (!opened) return opened.error();
  auto lead = (*opened)->exec("SELECT pg_try_advisory_lock(7813571436820)");
  if (!lead) return lead.error();
  if (!lead->boolean(0, 0)) return false;
  // Those who store and read wait behind a lock that waits.
  if (auto set = (*opened)->script("SET lock_timeout = '1s'"); !set) return set.error();
  connection_ = std::move(*opened);
  return true;
}

Result<std::string> Catalogue::id() {
  auto rows = connection_->exec("SELECT id FROM storage.archive");
  if (!rows) return rows.error();
  if (rows->empty()) return Error{ErrorKind::kCorrupt, "storage.archive is empty"};
  return std::string(rows->text(0, 0));
}

Result<bool> Catalogue::has_rows(const std::string& table) {
  auto rows = connection_->exec("SELECT EXISTS (SELECT 1 FROM storage." + postgres::quote_identifier(table) + ")");
  if (!rows) return rows.error();
  return rows->boolean(0, 0);
}

Result<std::vector<DueDay>> Catalogue::due(std::int64_t after_days, std::int64_t merge_interval_s, int most) {
  auto rows = connection_->exec(
      "SELECT p.day::text, (SELECT coalesce(max(a.generation), 0) FROM storage.archive_file a WHERE a.day = "
      "p.day)::int4,"
      " d.day IS NOT NULL OR e.day IS NOT NULL, coalesce(f.generation, 0)::int4 FROM"
      " (SELECT to_date(substr(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits i JOIN pg_class c ON c.oid = "
      "i.inhrelid"
      "  WHERE i.inhparent = 'storage.sample'::regclass AND c.relname ~ '^sample_[0-9]{8}$') p"
      " LEFT JOIN storage.archive_file f ON f.day = p.day AND f.superseded_at IS NULL"
      " LEFT JOIN storage.day d ON d.day = p.day LEFT JOIN storage.archive_expired e ON e.day = p.day AND NOT e.whole"
      " WHERE p.day < (now() AT TIME ZONE 'UTC')::date - $1::int4 AND coalesce(d.state, 3) = 3"
      " AND (f.day IS NULL OR e.day IS NOT NULL OR f.archived_at < now() - $2::int8 * interval '1 second') ORDER BY "
      "p.day",
      Params{}.integer(after_days).integer(merge_interval_s));
  if (!rows) return rows.error();
  std::vector<DueDay> days;
  for (int i = 0; i < rows->size() && std::ssize(days) < most; ++i) {
    DueDay day{std::string(rows->text(i, 0)), static_cast<std::int32_t>(rows->integer(i, 1)) + 1,
               static_cast<std::int32_t>(rows->integer(i, 3))};
    const bool is_due = rows->boolean(i, 2);
    const auto filled = is_due ? Result<bool>(true) : has_rows(partition_of(day.day));
    if (!filled) return filled.error();
    if (*filled) days.push_back(std::move(day));
  }
  return days;
}

Result<std::vector<ArchivedFile>> Catalogue::files(const std::string& condition, const Params& params) {
  auto rows = connection_->exec(
      "SELECT day::text, generation, key, rows, min_time, max_time, bytes, sha256, rows_hash, coalesce(detached, '')"
      " FROM storage.archive_file f WHERE " +
          condition + " ORDER BY day, generation",
      params);
  if (!rows) return rows.error();
  std::vector<ArchivedFile> found;
  for (int i = 0; i < rows->size(); ++i) {
    ArchivedFile file;
    file.day = rows->text(i, 0);
    file.generation = static_cast<std::int32_t>(rows->integer(i, 1));
    file.key = rows->text(i, 2);
    file.rows = rows->integer(i, 3);
    file.min_time = rows->timestamptz(i, 4);
    file.max_time = rows->timestamptz(i, 5);
    file.bytes = rows->integer(i, 6);
    file.sha256 = rows->text(i, 7);
    file.rows_hash = rows->text(i, 8);
    file.detached = rows->text(i, 9);
    found.push_back(std::move(file));
  }
  return found;
}

Result<std::vector<ArchivedFile>> Catalogue::to_drop() { return files("detached IS NOT NULL", {}); }

Result<std::vector<ArchivedFile>> Catalogue::to_delete(std::int64_t grace_s) {
  return files(
      "deleted_at IS NULL AND superseded_at < now() - $1::int8 * interval '1 second' AND NOT EXISTS"
      " (SELECT 1 FROM storage.archive_file n WHERE n.day = f.day AND n.detached IS NOT NULL)",
      Params{}.integer(grace_s));
}

Result<std::vector<ArchivedFile>> Catalogue::file(const std::string& day, std::int32_t generation) {
  return files("day = $1::text::date AND generation = $2::int4", Params{}.text(day).integer(generation));
}

Result<std::vector<std::string>> Catalogue::live_keys() {
  auto rows = connection_->exec("SELECT key FROM storage.archive_file WHERE deleted_at IS NULL");
  if (!rows) return rows.error();
  std::vector<std::string> keys;
  for (int i = 0; i < rows->size(); ++i) keys.emplace_back(rows->text(i, 0));
  return keys;
}

Status Catalogue::begin(const std::string& day) {
  // A compacted day becomes rows first, in the same transaction, so that nobody compacts it again in between.
  auto done = connection_->exec("SELECT storage.hot_again($1::text::date), storage.archive_begin($1::text::date)::text",
                                Params{}.text(day));
  return done ? Status{} : Status{done.error()};
}

Result<bool> Catalogue::exchange(const ArchivedFile& file, const FileContent& content) {
  Params params = file_params(file);
  add(content, params);
  auto done = connection_->exec(
      "WITH done AS MATERIALIZED (SELECT storage.archive_exchange($1::text::date, $2::int4, $3, $4::int8,"
      " $5::timestamptz, $6::timestamptz, $7::int8, $8, $9) AS ok),"
      " kept AS (INSERT INTO storage.archive_content SELECT $1::text::date, $2::int4, $10::int4[], $11::int4[],"
      " $12::int4[] FROM done WHERE ok),"
      " gone AS (DELETE FROM storage.archive_expired WHERE day = $1::text::date AND (SELECT ok FROM done))"
      " SELECT ok FROM done",
      params);
  if (!done) return done.error();
  return done->boolean(0, 0);
}

Status Catalogue::correct(const ArchivedFile& file, const FileContent& content) {
  Params params = file_params(file);
  add(content, params);
  auto done = connection_->exec(
      "WITH kept AS (UPDATE storage.archive_content SET devices = $10::int4[], metrics = $11::int4[], points ="
      " $12::int4[] WHERE day = $1::text::date AND generation = $2::int4)"
      " UPDATE storage.archive_file SET key = $3, rows = $4::int8, min_time = $5::timestamptz, max_time = "
      "$6::timestamptz,"
      " bytes = $7::int8, sha256 = $8, rows_hash = $9 WHERE day = $1::text::date AND generation = $2::int4",
      params);
  return done ? Status{} : Status{done.error()};
}

Result<std::vector<ArchivedFile>> Catalogue::without_content() {
  return files(
      "superseded_at IS NULL AND detached IS NULL AND NOT EXISTS (SELECT 1 FROM storage.archive_content c WHERE c.day ="
      " f.day AND c.generation = f.generation)",
      {});
}

Status Catalogue::put_content(const ArchivedFile& file, const FileContent& content) {
  Params params = day_params(file);
  add(content, params);
  auto done = connection_->exec(
      "INSERT INTO storage.archive_content VALUES ($1::text::date, $2::int4, $3::int4[], $4::int4[], $5::int4[])"
      " ON CONFLICT DO NOTHING",
      params);
  return done ? Status{} : Status{done.error()};
}

Result<FileContent> Catalogue::content(const ArchivedFile& file) {
  auto rows = connection_->exec(
      "SELECT devices, metrics, points FROM storage.archive_content WHERE day = $1::text::date AND generation = "
      "$2::int4",
      day_params(file));
  if (!rows) return rows.error();
  return content_at(*rows, 3);
}

Result<FileContent> Catalogue::expired(const std::string& day) {
  auto rows = connection_->exec("SELECT devices, metrics FROM storage.archive_expired WHERE day = $1::text::date",
                                Params{}.text(day));
  if (!rows) return rows.error();
  return content_at(*rows, 2);
}

Result<std::vector<std::string>> Catalogue::to_retire() {
  auto rows = connection_->exec("SELECT day::text FROM storage.archive_expired WHERE whole ORDER BY 1");
  if (!rows) return rows.error();
  std::vector<std::string> days;
  for (int i = 0; i < rows->size(); ++i) days.emplace_back(rows->text(i, 0));
  return days;
}

Result<bool> Catalogue::retire(const std::string& day) {
  auto done = connection_->exec("SELECT storage.archive_retire($1::text::date)", Params{}.text(day));
  if (!done) return done.error();
  return done->boolean(0, 0);
}

Result<std::int32_t> Catalogue::previous(const ArchivedFile& file) {
  auto rows = connection_->exec(
      "SELECT coalesce(max(b.generation), 0)::int4 FROM storage.archive_file f JOIN storage.archive_file b ON b.day = "
      "f.day AND b.generation < f.generation AND b.superseded_at = f.archived_at"
      " WHERE f.day = $1::text::date AND f.generation = $2::int4",
      day_params(file));
  if (!rows) return rows.error();
  return static_cast<std::int32_t>(rows->integer(0, 0));
}

Status Catalogue::drop(const ArchivedFile& file) {
  auto done = connection_->exec("SELECT storage.archive_drop($1::text::date, $2::int4)", day_params(file));
  return done ? Status{} : Status{done.error()};
}

Status Catalogue::note_deleted(const ArchivedFile& file) {
  auto done = connection_->exec(
      "UPDATE storage.archive_file SET deleted_at = now() WHERE day = $1::text::date AND generation = $2::int4",
      day_params(file));
  return done ? Status{} : Status{done.error()};
}

Result<std::unique_ptr<archive::RowSource>> Catalogue::rows(const std::string& table) {
  auto source = std::make_unique<TableRows>(*connection_);
  if (auto opened = source->open(table); !opened) return opened.error();
  return std::unique_ptr<archive::RowSource>(std::move(source));
}

}  // namespace millrace::archiver
