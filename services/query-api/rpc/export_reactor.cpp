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
  if (!finished_) submit();
}

void ExportReactor::submit() {
  reading_ = parts_.workers.try_submit([this] { read_piece(); });
  if (reading_) return;
  fail({ErrorKind::kThrottled, "as many exports are open as may be (" + std::to_string(parts_.workers.options().queue) +
                                   "); try again later"});
}

// Behind the piece that is being written: the client has it then.
void ExportReactor::fail(const Error& error) {
  if (!writing_) return finish(error);
  wanted_end_ = error;
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
  if (!piece.ok()) return fail(piece.error());
  ahead_ = std::move(piece).value();
  if (!writing_) write();
}

void ExportReactor::write() {
  last_ = ahead_->last;
  response_.set_points(ahead_->points);
  response_.set_data(std::move(ahead_->data));
  ahead_.reset();
  writing_ = true;
  StartWrite(&response_);
  if (!last_) submit();
}

void ExportReactor::OnWriteDone(bool ok) {
  if (!ok) return end(Error{ErrorKind::kUnknownOutcome, "the client went away"});
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (finished_) return;
  if (wanted_end_ && !reading_) return finish(*wanted_end_);
  if (last_) return finish({});
  if (ahead_) write();
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
