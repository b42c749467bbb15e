#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include <millrace/archive/merge.hpp>

#include "catalogue/catalogue.hpp"

namespace millrace::archiver {

/// Pairs of device and metric.
using SeriesSet = std::set<std::pair<std::int32_t, std::int32_t>>;

[[nodiscard]] inline SeriesSet series_of(const FileContent& content) {
  SeriesSet series;
  for (std::size_t i = 0; i < content.devices.size(); ++i) series.emplace(content.devices[i], content.metrics[i]);
  return series;
}

/// The rows of a file without those of some series, or with those of some series alone.
class SomeRows final : public archive::RowSource {
 public:
  enum class Named : std::uint8_t { kStay, kGo };
  SomeRows(std::unique_ptr<archive::RowSource> rows, SeriesSet series, Named named)
      : rows_(std::move(rows)), series_(std::move(series)), named_(named) {}

  Result<const archive::Row*> next() override {
    for (;;) {
      auto row = rows_->next();
      if (!row || *row == nullptr) return row;
      const std::pair<std::int32_t, std::int32_t> of{(*row)->key.device, (*row)->key.metric};
      if (of != last_) {
        last_ = of;
        last_stays_ = series_.contains(of) == (named_ == Named::kStay);
      }
      if (last_stays_) return row;
    }
  }

 private:
  std::unique_ptr<archive::RowSource> rows_;
  SeriesSet series_;
  Named named_;
  std::pair<std::int32_t, std::int32_t> last_{-1, -1};
  bool last_stays_ = false;
};

}  // namespace millrace::archiver
