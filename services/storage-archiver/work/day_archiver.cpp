#include "work/day_archiver.hpp"

#include <filesystem>
#include <system_error>
#include <thread>

#include <millrace/observability/log.hpp>

namespace millrace::archiver {
namespace {

constexpr int kLockTries = 30;
constexpr std::chrono::milliseconds kLockPause{500};

const observability::Logger& logger() {
  static const observability::Logger kLogger("archive");
  return kLogger;
}

/// Runs what needs a lock on the hot table until it has it; between the tries everybody else goes first.
template <typename Step>
auto with_patience(const Step& step) {
  auto done = step();
  for (int i = 1; i < kLockTries && !done && done.error().kind == ErrorKind::kUnavailable; ++i) {
    std::this_thread::sleep_for(kLockPause);
    done = step();
  }
  return done;
}

}  // namespace

std::string key_of(const std::string& id, const std::string& day, std::int32_t generation) {
  return id + "/sample/" + day.substr(0, 4) + "/" + day.substr(5, 2) + "/" + day + ".g" + std::to_string(generation) +
         ".parquet";
}

Result<ArchivedFile> DayArchiver::archive(const DueDay& day, const std::string& id) {
  ArchivedFile file;
  file.day = day.day;
  file.generation = day.generation;
  file.key = key_of(id, day.day, day.generation);
  if (auto begun = with_patience([&] { return catalogue_.begin(day.day); }); !begun) return begun.error();
  after_step_("begun");
  if (auto written = write(file, partition_of(day.day)); !written) return written.error();
  after_step_("written");
  if (auto put = store_.put(spool_path(), file); !put) return put.error();
  after_step_("uploaded");
  if (auto verified = store_.verify(file); !verified) return verified.error();
  after_step_("verified");
  if (auto exchanged = exchange(file); !exchanged) return exchanged.error();
  file.detached = partition_of(day.day) + "_g" + std::to_string(day.generation);
  after_step_("exchanged");
  return file;
}

Status DayArchiver::write(ArchivedFile& file, const std::string& table) {
  std::unique_ptr<archive::RowSource> archived =
      std::make_unique<archive::VectorSource>(std::span<const archive::OwnedRow>{});
  if (file.generation > 1) {
    const auto before = catalogue_.file(file.day, file.generation - 1);
    if (!before) return before.error();
    if (before->empty())
      return Error{ErrorKind::kCorrupt,
                   "storage.archive_file lacks generation " + std::to_string(file.generation - 1) + " of " + file.day};
    auto rows = store_.rows(before->front().key);
    if (!rows) return rows.error();
    archived = std::move(rows).value();
  }
  auto later = catalogue_.rows(table);
  if (!later) return later.error();
  return store_.write(spool_path(), file, [&](const std::function<Status(const archive::Row&)>& each) {
    return archive::merge(*archived, **later, each);
  });
}

Status DayArchiver::exchange(const ArchivedFile& file) {
  const auto exchanged = with_patience([&] { return catalogue_.exchange(file); });
  if (!exchanged) return exchanged.error();
  if (*exchanged) return {};
  return Error{ErrorKind::kConflict,
               "rows of " + file.day + " were moved or removed while it was archived; the next pass begins again"};
}

Status DayArchiver::drop(ArchivedFile file) {
  auto verified = store_.verify(file);
  if (!verified && (verified.error().kind == ErrorKind::kCorrupt || verified.error().kind == ErrorKind::kNotFound)) {
    logger().error("an archived file is not as it was written; it is made again from the table that is still there",
                   {{"day", file.day}, {"key", file.key}, {"error", verified.error().message}});
    verified = restore(file);
  }
  if (!verified) return verified;
  after_step_("verified again");
  if (auto dropped = catalogue_.drop(file); !dropped) return dropped;
  after_step_("dropped");
  std::error_code ignored;  // one that stays is replaced by the next day's
  std::filesystem::remove(spool_path(), ignored);
  return {};
}

// The table holds, beside the file's rows, those that came while it was written; a reader sees them once all the same.
Status DayArchiver::restore(ArchivedFile& file) {
  if (auto written = write(file, file.detached); !written) return written;
  if (auto put = store_.put(spool_path(), file); !put) return put;
  if (auto corrected = catalogue_.correct(file); !corrected) return corrected;
  return store_.verify(file);
}

}  // namespace millrace::archiver
