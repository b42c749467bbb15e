#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "catalogue/catalogue.hpp"
#include "work/expired_rows.hpp"
#include "work/file_store.hpp"

namespace millrace::archiver {

/// The steps after which a kill must lose nothing and store nothing twice, in their order.
inline constexpr std::array<std::string_view, 7> kSteps{"begun",     "written",        "uploaded", "verified",
                                                        "exchanged", "verified again", "dropped"};

/// One day from the database into its file. One thread.
class DayArchiver {
 public:
  /// `spool`: a folder for one file at a time. `after_step` is told each of kSteps.
  DayArchiver(Catalogue& catalogue, FileStore& store, std::string spool,
              std::function<void(std::string_view)> after_step)
      : catalogue_(catalogue), store_(store), spool_(std::move(spool)), after_step_(std::move(after_step)) {}

  /// Writes the day's next file, without what is over, and lets it count. `id`: Catalogue::id().
  [[nodiscard]] Result<ArchivedFile> archive(const DueDay& day, const std::string& id);
  /// Verifies the file once more, as its readers see it, and drops what it replaced. A file that is damaged or gone is
  /// made anew from that first.
  [[nodiscard]] Status drop(ArchivedFile file);

  /// Reads a file of an older version for what it holds.
  [[nodiscard]] Status count(const ArchivedFile& file);
  /// The day has no file any more: all that it held is over. The object goes as that of a replaced file.
  [[nodiscard]] Status retire(const std::string& day);

 private:
  /// The rows of the day's file `previous` (0: none) and later ones; without some series of the file, or with some
  /// alone.
  struct Sources {
    std::int32_t previous = 0;
    FileContent series = {};
    SomeRows::Named named = SomeRows::Named::kGo;
    std::string table = {};  ///< of the later rows
  };
  [[nodiscard]] Result<FileContent> write(ArchivedFile& file, const Sources& sources);
  [[nodiscard]] Result<std::unique_ptr<archive::RowSource>> archived_rows(const ArchivedFile& file,
                                                                          const Sources& sources);
  [[nodiscard]] Status exchange(const ArchivedFile& file, const FileContent& content);
  [[nodiscard]] Status restore(ArchivedFile& file);
  [[nodiscard]] std::string spool_path() const { return spool_ + "/day.parquet"; }

  Catalogue& catalogue_;
  FileStore& store_;
  std::string spool_;
  std::function<void(std::string_view)> after_step_;
};

/// <id>/sample/2026/11/2026-11-20.g1.parquet: the same for every try.
[[nodiscard]] std::string key_of(const std::string& id, const std::string& day, std::int32_t generation);

}  // namespace millrace::archiver
