#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "read/number.hpp"
#include "read/series_reader.hpp"
#include "read/tiered_reader.hpp"

namespace millrace::query_api {

struct BucketPage {
  std::vector<Bucket> buckets;
  std::optional<TimeUs> next_from;  ///< empty: no more
};

/// Few points of many: reads the numbers of a series as a stream, so that the memory is that of the answer. Blocking,
/// each call at most as long as its patience. Thread-safe.
class Downsampler {
 public:
  Downsampler(postgres::Pool& pool, TieredReader& tiers) : pool_(pool), tiers_(tiers) {}

  /// Buckets that start at multiples of `step_us`, at most `window.rows`. Each call reads only the stretch that its
  /// page covers, so that all pages together read every row once.
  [[nodiscard]] Result<BucketPage> page(const Series& series, const Window& window, std::int64_t step_us,
                                        const Patience& patience);

  /// All of [from, to) in buckets that start at `from` and multiples of `step_us` behind it.
  [[nodiscard]] Result<std::vector<Bucket>> buckets(const Series& series, TimeUs from, TimeUs to, std::int64_t step_us,
                                                    const Patience& patience);

  /// At most `points` of the numbers in [from, to), by LTTB; all of them where there are no more. kInvalid where there
  /// are more than kMostPerPoint for each point: two buckets must fit into the memory.
  [[nodiscard]] Result<std::vector<Sample>> lttb(const Series& series, TimeUs from, TimeUs to, int points,
                                                 const Patience& patience);

  static constexpr std::int64_t kMostPerPoint = 250'000;

 private:
  // Of the database alone, and of database and archive.
  [[nodiscard]] Result<BucketPage> hot_page(const Series& series, const Window& window, std::int64_t step_us,
                                            const Patience& patience);
  [[nodiscard]] Result<BucketPage> tiered_page(const Series& series, const Window& window, std::int64_t step_us,
                                               const Patience& patience);
  [[nodiscard]] Result<std::vector<Bucket>> hot_buckets(const Series& series, TimeUs from, TimeUs to,
                                                        std::int64_t step_us, const Patience& patience);
  [[nodiscard]] Result<std::vector<Bucket>> tiered_buckets(const Series& series, TimeUs from, TimeUs to,
                                                           std::int64_t step_us, TimeUs origin,
                                                           const Patience& patience);
  [[nodiscard]] Result<std::vector<Sample>> hot_lttb(const Series& series, TimeUs from, TimeUs to, int points,
                                                     const Patience& patience);
  [[nodiscard]] Result<std::vector<Sample>> tiered_lttb(const Series& series, TimeUs from, TimeUs to, int points,
                                                        const Patience& patience);

  postgres::Pool& pool_;
  TieredReader& tiers_;
};

}  // namespace millrace::query_api
