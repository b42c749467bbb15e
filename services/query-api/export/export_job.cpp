#include "export/export_job.hpp"

#include "export/csv_writer.hpp"

namespace millrace::query_api {
namespace {

/// A piece with more is sent: with one more stretch of the longest names and texts it stays below the 4 MB that gRPC
/// clients take by default.
constexpr std::size_t kEnoughBytes = 300'000;

}  // namespace

Status ExportJob::learn_metrics(const Patience& patience) {
  auto metrics = reader_.metrics(scope_, patience);
  if (!metrics.ok()) return metrics.error();
  metrics_ = std::move(metrics).value();
  return {};
}

const std::string* ExportJob::device_named(std::int32_t key) {
  if (key != device_key_) {
    device_key_ = key;
    device_.reset();
    const auto device = registry_.find_by_key(key);
    // It may have been deleted meanwhile.
    if (device && device->tenant == scope_.tenant) device_ = device->device;
  }
  return device_ ? &*device_ : nullptr;
}

Status ExportJob::append(const ExportRow& row, ExportPiece& piece) {
  const std::string* device = device_named(row.at.device_key);
  const auto metric = metrics_->find(row.at.metric_id);
  if (device == nullptr || metric == metrics_->end()) return {};
  const auto value = storage_schema::value_of(row.cell, metric->second.type);
  if (!value.ok()) return value.error();
  append_csv(piece.data, *device, metric->second.name, row.at.time, value.value(), row.untimed);
  ++piece.points;
  return {};
}

Result<ExportPiece> ExportJob::next(const Patience& patience) {
  ExportPiece piece;
  if (!metrics_) {
    if (auto learnt = learn_metrics(patience); !learnt.ok()) return learnt.error();
    piece.data = kCsvHeading;
  }
  // Runs without rows are passed over, up to a piece that is worth sending.
  while (run_ < runs_.size() && piece.data.size() < kEnoughBytes && piece.points < ExportReader::kRows / 2) {
    if (patience.gave_up && patience.gave_up()) return Error{ErrorKind::kUnknownOutcome, "the client went away"};
    std::size_t bytes = 0;
    Status outcome;
    std::optional<std::int32_t> unknown;
    const auto rows = reader_.rows(scope_, *metrics_, runs_[run_], after_, patience, [&](const ExportRow& row) {
      bytes += row.cell.other.size();
      if (!outcome.ok() || unknown) return;
      // A metric that came after this export began: its name is learnt, and the rest of this stretch read again.
      if (!metrics_->contains(row.at.metric_id)) {
        unknown = row.at.metric_id;
        return;
      }
      outcome = append(row, piece);
      after_ = row.at;
    });
    if (!rows.ok()) return rows.error();
    if (!outcome.ok()) return outcome.error();
    if (unknown) {
      if (auto learnt = learn_metrics(patience); !learnt.ok()) return learnt.error();
      if (!metrics_->contains(*unknown)) {
        return Error{ErrorKind::kCorrupt, "storage.sample: metric " + std::to_string(*unknown) + " has no name"};
      }
      continue;
    }
    if (ExportReader::may_go_on(rows.value(), bytes)) continue;
    ++run_;
    after_.reset();
  }
  piece.last = run_ == runs_.size();
  return piece;
}

}  // namespace millrace::query_api
