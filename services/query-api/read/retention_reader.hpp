#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/pool.hpp>
#include <millrace/registry_view/retention.hpp>

#include "read/patience.hpp"

namespace millrace::query_api {

struct RetentionAmount {
  std::int64_t series = 0;
  std::int64_t points = 0;
  std::int64_t bytes = 0;
};

/// What a day loses by one rule.
struct RetentionLoss {
  std::int32_t day = 0;  ///< since the epoch
  std::string type;      ///< of the rule; empty: the tenant's
  RetentionAmount hot;
  RetentionAmount compacted;
  RetentionAmount archived;
};
struct RetentionPage {
  std::vector<RetentionLoss> losses;  ///< in the order of (day, type)
  std::optional<std::int32_t> next;   ///< go on behind this day; empty: no more
};

/// Looks at what storage-writer would remove; removes nothing. Blocking. Thread-safe.
class RetentionReader {
 public:
  explicit RetentionReader(postgres::Pool& pool) : pool_(pool) {}

  /// Days behind `after`, until `days` of them lose something or most of the time is over.
  [[nodiscard]] Result<RetentionPage> preview(const registry_view::RetentionPlan& plan, std::int32_t today,
                                              std::int32_t after, int days, const Patience& patience);

 private:
  postgres::Pool& pool_;
};

}  // namespace millrace::query_api
