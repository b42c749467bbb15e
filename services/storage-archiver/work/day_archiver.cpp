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
  auto expired = catalogue_.expired(day.day);
  if (!expired) return expired.error();
  const auto content = write(file, {day.previous, *std::move(expired), SomeRows::Named::kGo, partition_of(day.day)});
  if (!content) return content.error();
  after_step_("written");
  if (auto put = store_.put(spool_path(), file); !put) return put.error();
  after_step_("uploaded");
  if (auto verified = store_.verify(file); !verified) return verified.error();
  after_step_("verified");
  if (auto exchanged = exchange(file, *content); !exchanged) return exchanged.error();
  file.detached = partition_of(day.day) + "_g" + std::to_string(day.generation);
  after_step_("exchanged");
  return file;
}

Result<std::unique_ptr<archive::RowSource>> DayArchiver::archived_rows(const ArchivedFile& file,
                                                                       const Sources& sources) {
  if (sources.previous == 0) {
    return std::unique_ptr<archive::RowSource>(
        std::make_unique<archive::VectorSource>(std::span<const archive::OwnedRow>{}));
  }
  const auto before = catalogue_.file(file.day, sources.previous);
  if (!before) return before.error();
  if (before->empty())
    return Error{ErrorKind::kCorrupt,
                 "storage.archive_file lacks generation " + std::to_string(sources.previous) + " of " + file.day};
  auto rows = store_.rows(before->front().key);
  if (!rows) return rows.error();
  return std::unique_ptr<archive::RowSource>(
      std::make_unique<SomeRows>(std::move(rows).value(), series_of(sources.series), sources.named));
}

Result<FileContent> DayArchiver::write(ArchivedFile& file, const Sources& sources) {
  auto archived = archived_rows(file, sources);
  if (!archived) return archived.error();
  auto later = catalogue_.rows(sources.table);
  if (!later) return later.error();
  FileContent content;
  const Status written = store_.write(spool_path(), file, [&](const std::function<Status(const archive::Row&)>& each) {
    return archive::merge(**archived, **later, [&](const archive::Row& row) {
      content.add(row.key.device, row.key.metric);
      return each(row);
    });
  });
  if (!written) return written.error();
  return content;
}

Status DayArchiver::exchange(const ArchivedFile& file, const FileContent& content) {
  const auto exchanged = with_patience([&] { return catalogue_.exchange(file, content); });
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
  const auto previous = catalogue_.previous(file);
  if (!previous) return previous.error();
  // What was left out of it must not come back.
  auto held = catalogue_.content(file);
  if (!held) return held.error();
  const auto content = write(file, {*previous, *std::move(held), SomeRows::Named::kStay, file.detached});
  if (!content) return content.error();
  if (auto put = store_.put(spool_path(), file); !put) return put;
  if (auto corrected = catalogue_.correct(file, *content); !corrected) return corrected;
  return store_.verify(file);
}

Status DayArchiver::count(const ArchivedFile& file) {
  auto rows = store_.rows(file.key);
  if (!rows) return rows.error();
  FileContent content;
  for (;;) {
    const auto row = (*rows)->next();
    if (!row) return row.error();
    if (*row == nullptr) return catalogue_.put_content(file, content);
    content.add((*row)->key.device, (*row)->key.metric);
  }
}

Status DayArchiver::retire(const std::string& day) {
  const auto retired = with_patience([&] { return catalogue_.retire(day); });
  if (!retired) return retired.error();
  if (*retired) after_step_("retired");
  return {};
}

}  // namespace millrace::archiver
