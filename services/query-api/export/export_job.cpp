#include "export/export_job.hpp"

namespace millrace::query_api {
namespace {

/// How often a stretch is read again because days of it were archived meanwhile.
constexpr int kMostLooks = 10;

}  // namespace

Status ExportJob::learn_metrics(const Patience& patience) {
  auto metrics = sources_.reader.metrics(scope_, patience);
  if (!metrics.ok()) return metrics.error();
  metrics_ = std::move(metrics).value();
  return {};
}

const std::string* ExportJob::device_named(std::int32_t key) {
  if (key != device_key_) {
    device_key_ = key;
    device_.reset();
    const auto device = sources_.registry.find_by_key(key);
    // It may have been deleted meanwhile.
    if (device && device->tenant == scope_.tenant) device_ = device->device;
  }
  return device_ ? &*device_ : nullptr;
}

Status ExportJob::append(const archive::Row& row, const ExportMetric& metric, ExportPiece& piece) {
  const std::string* device = device_named(row.key.device);
  if (device == nullptr) return {};
  const storage_schema::Cell cell{static_cast<storage_schema::Kind>(row.kind), row.number, std::string(row.other)};
  const auto value = storage_schema::value_of(cell, metric.type);
  if (!value.ok()) return value.error();
  ++piece.points;
  return encoder_->add({.device_key = row.key.device,
                        .metric_key = row.key.metric,
                        .device = *device,
                        .metric = metric.name,
                        .time = row.key.time,
                        .value = value.value(),
                        .untimed = row.untimed},
                       piece.data);
}

Result<ExportRows> ExportJob::rows(const Patience& patience) {
  const KeyRun& run = runs_[run_];
  // A day that is archived between the two readings would be in neither: the catalogue is looked at before and after.
  for (int look = 0; look < kMostLooks; ++look) {
    const auto files = sources_.tiers.files(scope_.from, scope_.to, patience);
    if (!files.ok()) return files.error();
    const bool archived = !files->empty();
    if (archived) {
      const Status loaded = archived_.load(files.value(), scope_, *metrics_, run, after_, patience);
      if (!loaded.ok()) return loaded.error();
    } else {
      archived_.drop();
    }
    const ExportStretch stretch{run, after_, archived ? archived_.until() : std::nullopt};
    auto hot = sources_.reader.rows(scope_, *metrics_, stretch, patience);
    if (!hot.ok()) return hot.error();
    const auto still = sources_.tiers.files(scope_.from, scope_.to, patience);
    if (!still.ok()) return still.error();
    if (still.value() != files.value()) continue;
    return archived || archived_.holds_back() ? archived_.with(hot.value(), after_) : std::move(hot);
  }
  return Error{ErrorKind::kUnavailable, "days of the range are being archived; call again"};
}

Status ExportJob::add_points(const Patience& patience, ExportPiece& piece) {
  // Runs without rows are passed over, up to a piece that is worth sending.
  while (run_ < runs_.size() && piece.data.size() + encoder_->held() < kEnoughBytes &&
         piece.points < ExportReader::kRows / 2) {
    if (patience.gave_up && patience.gave_up()) return Error{ErrorKind::kUnknownOutcome, "the client went away"};
    const auto some = rows(patience);
    if (!some.ok()) return some.error();
    for (const archive::OwnedRow& row : some->rows) {
      const auto metric = metrics_->find(row.row.key.metric);
      const TimeUs time = row.row.key.time;
      if (metric == metrics_->end() || time < from_ || time >= scope_.to) continue;
      if (auto added = append(row.view(), metric->second, piece); !added.ok()) return added.error();
    }
    after_ = some->whole_to;
    if (!after_) ++run_;
  }
  return {};
}

Result<ExportPiece> ExportJob::next(const Patience& patience) {
  // What is wrong with the question is said before it costs a process.
  if (!metrics_) {
    if (auto learnt = learn_metrics(patience); !learnt.ok()) return learnt.error();
  }
  ExportPiece piece;
  const auto room = encoder_->begin(piece.data, patience);
  if (!room.ok()) return room.error();
  if (room.value()) {
    archived_.use(encoder_->seat());
    if (auto added = add_points(patience, piece); !added.ok()) return added.error();
    if (auto ended = encoder_->end(run_ == runs_.size(), piece.data, patience); !ended.ok()) return ended.error();
  }
  piece.last = encoder_->complete();
  return piece;
}

}  // namespace millrace::query_api
