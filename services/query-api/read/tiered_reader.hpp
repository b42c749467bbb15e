#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <millrace/archive/merge.hpp>

#include "read/cold_reader.hpp"
#include "read/number.hpp"
#include "read/patience.hpp"
#include "read/series_reader.hpp"

namespace millrace::query_api {

/// One answer over the database and the files of archived days. Blocking, each call at most as long as its patience.
/// Thread-safe. Where a stretch is archived and this query-api has no archive: kPrecondition, never an answer with
/// holes.
class TieredReader {
 public:
  TieredReader(SeriesReader& hot, postgres::Pool& pool, ColdReader& cold) : hot_(hot), pool_(pool), cold_(cold) {}

  /// As SeriesReader::samples. A stretch with no file costs one more look into the catalogue of files.
  [[nodiscard]] Result<SamplePage> samples(const Series& series, const Window& window, const Patience& patience);

  /// Keys of the files that may hold rows of [from, to), oldest first.
  [[nodiscard]] Result<std::vector<std::string>> files(TimeUs from, TimeUs to, const Patience& patience);
  /// Whether there are any. No: still so for rows that were read from the database before the call.
  [[nodiscard]] Result<bool> reaches_archive(TimeUs from, TimeUs to, const Patience& patience);

  /// The numbers of a series in [from, to) in the order of their times, until `each` says no. Holds a page of them.
  [[nodiscard]] Status numbers(const Series& series, TimeUs from, TimeUs to, const Patience& patience,
                               const std::function<bool(const Number&)>& each);

 private:
  SeriesReader& hot_;
  postgres::Pool& pool_;
  ColdReader& cold_;
};

/// The answer from the database where no file touches [from, to), before and after it was read; else the one over both.
template <typename Answer, typename Hot, typename Tiered>
Result<Answer> of_tiers(TieredReader& tiers, TimeUs from, TimeUs to, const Patience& patience, const Hot& hot,
                        const Tiered& tiered) {
  auto archived = tiers.reaches_archive(from, to, patience);
  if (!archived.ok()) return archived.error();
  if (*archived) return tiered();
  Result<Answer> answer = hot();
  if (!answer.ok()) return answer;
  archived = tiers.reaches_archive(from, to, patience);
  if (!archived.ok()) return archived.error();
  return *archived ? tiered() : std::move(answer);
}

/// A page of both tiers, from parts that follow each other from window.since or window.from on. Pure.
class OnePage {
 public:
  OnePage(const Series& series, const Window& window) : series_(series), window_(window) {}

  /// Both begin where the part before was whole to, and are whole up to hot.next_from or window.to, and cold.to.
  /// kCorrupt: a row of a file that is no value.
  [[nodiscard]] Status add(const SamplePage& hot, const ColdRows& cold);
  /// No further part belongs to it. An empty page may have a next one.
  [[nodiscard]] bool done() const { return full_ || whole_to_ > window_.from; }
  [[nodiscard]] TimeUs whole_to() const { return whole_to_; }
  [[nodiscard]] SamplePage take();

 private:
  [[nodiscard]] Status add(const archive::Row& row);

  const Series series_;
  const Window window_;
  archive::Merge merge_;
  SamplePage page_;
  std::int64_t bytes_ = 0;
  TimeUs whole_to_ = std::numeric_limits<TimeUs>::min();
  bool full_ = false;
};

}  // namespace millrace::query_api
