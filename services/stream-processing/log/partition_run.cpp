#include "log/partition_run.hpp"

#include <utility>

namespace millrace::stream {
namespace {

telemetry::RecordMark mark_of(std::string_view value) {
  telemetry::Batch facts;
  if (!telemetry::decode_facts(value, facts)) facts = {};
  return telemetry::mark_of(value, facts);
}

}  // namespace

PartitionRun::PartitionRun(std::int32_t partition, Start start, std::unique_ptr<PartitionTask> task)
    : partition_(partition), start_(std::move(start)), task_(std::move(task)), next_(start_.read_from) {
  if (is_live()) end_replay();
}

void PartitionRun::stop(std::string why) {
  if (!stopped_) stopped_ = std::move(why);
}

void PartitionRun::take(const Entry& record, Decoder& decoder, Outputs& outputs) {
  const std::int64_t offset = record.offset;
  if (stopped_ || offset < next_) return;
  const std::string where = "partition " + std::to_string(partition_) + ": ";
  if (offset > next_) {
    stop(where + "the records " + std::to_string(next_) + " to " + std::to_string(offset - 1) +
         " are missing in the log");
    return;
  }
  if (!is_expected(record)) {
    stop(where + "the record " + std::to_string(offset) +
         " is not the one that was processed: the log was cut or replaced");
    return;
  }
  run(record, decoder, outputs);
  next_ = offset + 1;
  if (next_ == start_.committed) end_replay();
  ahead_ = next_ > start_.committed;
  if (last_)
    last_->assign(record.value);  // keeps its memory
  else
    last_.emplace(record.value);
}

bool PartitionRun::is_expected(const Entry& record) const {
  if (record.offset != start_.committed - 1 || !start_.point.last) return true;
  return mark_of(record.value) == *start_.point.last;
}

// Ticks that stood before this record, or before the committed position.
void PartitionRun::replay_ticks(std::int64_t offset) {
  const std::vector<Tick>& ticks = start_.point.ticks;
  for (; ticks_done_ < ticks.size() && ticks[ticks_done_].offset <= offset; ++ticks_done_)
    task_->tick(ticks[ticks_done_], nullptr);
}

void PartitionRun::end_replay() {
  replay_ticks(start_.committed);
  task_->end_replay(start_.point.replay_from);
}

void PartitionRun::run(const Entry& record, Decoder& decoder, Outputs& outputs) {
  const std::int64_t offset = record.offset;
  const bool live = offset >= start_.committed;
  if (!live) replay_ticks(offset);
  if (decoder.codec.decode(record.value, decoder.batch) && decoder.batch.device_key > 0) {
    task_->process(offset, record.append_time, decoder.batch, live ? &outputs : nullptr);
    return;
  }
  // As storage-writer: the facts may still be whole, and then they count for the copy rules.
  if (telemetry::decode_facts(record.value, decoder.batch) && decoder.batch.device_key > 0)
    task_->learn(offset, record.append_time, decoder.batch);
  if (live) task_->skip(offset);
}

void PartitionRun::tick(TimeUs log_time, Outputs& outputs) {
  if (stopped_ || !is_live() || !task_->wants_tick(next_, log_time)) return;
  task_->tick({next_, log_time}, &outputs);
  ahead_ = true;
}

std::optional<telemetry::RecordMark> PartitionRun::mark() const {
  if (last_) return mark_of(*last_);
  return next_ == start_.committed ? start_.point.last : std::nullopt;
}

ResumePoint PartitionRun::resume_point() {
  ResumePoint point;
  point.replay_from = task_->replay_from(next_);
  point.generation = start_.point.generation;
  point.cluster_id = start_.point.cluster_id;
  point.log_time = task_->log_time();
  point.last = mark();
  point.ticks = task_->ticks(next_);
  return point;
}

void PartitionRun::note_committed() {
  ahead_ = false;
  task_->committed(next_);
}

}  // namespace millrace::stream
