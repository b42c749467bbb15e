#include "rpc/export_reactor.hpp"

#include <algorithm>

namespace millrace::query_api {

ExportReactor::ExportReactor(const ExportParts& parts, std::unique_ptr<rpc::CallScope> scope)
    : parts_(parts), scope_(std::move(scope)) {
  parts_.calls.add(this);
}

void ExportReactor::begin(Result<std::unique_ptr<ExportJob>> job) {
  if (!job.ok()) return end(job.error());
  if (parts_.calls.ended()) return end(Error{ErrorKind::kUnavailable, "the service is stopping; call again"});
  job_ = std::move(job).value();
  ask_for_piece();
}

void ExportReactor::finish(const Status& outcome) {
  if (finished_) return;
  finished_ = true;
  Finish(scope_->finish(outcome));
}

void ExportReactor::end(const Status& outcome) {
  const std::lock_guard lock(mutex_);
  // The thread that reads uses this object: it ends the call.
  if (reading_) {
    if (!wanted_end_ && !outcome.ok()) wanted_end_ = outcome.error();
    return;
  }
  finish(outcome);
}

void ExportReactor::ask_for_piece() {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  reading_ = parts_.workers.try_submit([this] { read_piece(); });
  if (reading_) return;
  finish(Error{ErrorKind::kThrottled, "as many exports are open as may be (" +
                                          std::to_string(parts_.workers.options().queue) + "); try again later"});
}

void ExportReactor::read_piece() {
  // A key that was revoked reads no further.
  if (const Status allowed = parts_.dispatcher.authenticate(*scope_); !allowed.ok()) return take(allowed.error());
  const auto most = std::chrono::steady_clock::now() + parts_.most_of_a_piece;
  take(job_->next({std::min(most, scope_->call().deadline), [this] {
                     const std::lock_guard lock(mutex_);
                     return wanted_end_.has_value();
                   }}));
}

void ExportReactor::take(Result<ExportPiece> piece) {
  const std::lock_guard lock(mutex_);
  reading_ = false;
  if (wanted_end_) return finish(*wanted_end_);
  if (!piece.ok()) return finish(piece.error());
  last_ = piece->last;
  response_.set_points(piece->points);
  response_.set_data(std::move(piece->data));
  StartWrite(&response_);
}

void ExportReactor::OnWriteDone(bool ok) {
  if (!ok) return end(Error{ErrorKind::kUnknownOutcome, "the client went away"});
  if (last_) return end({});
  ask_for_piece();
}

void ExportReactor::OnCancel() { end(Error{ErrorKind::kUnknownOutcome, "the client went away"}); }

void ExportReactor::OnDone() {
  parts_.calls.remove(this);
  {
    // Whoever called Finish() may still hold it.
    const std::lock_guard lock(mutex_);
  }
  delete this;
}

}  // namespace millrace::query_api
