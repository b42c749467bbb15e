#include "read/cold_reader.hpp"

#include <algorithm>
#include <chrono>

#include "read/statements.hpp"

namespace millrace::query_api {
namespace {

/// How often one who waits looks whether somebody still waits for him.
constexpr std::chrono::milliseconds kLook{50};
constexpr std::int64_t kRowBytes = 32;  // about what a point takes in an answer, beside its text

std::string joined(const std::vector<std::string>& files) {
  std::string keys;
  for (const std::string& file : files) keys += (keys.empty() ? "" : "\n") + file;
  return keys;
}

Error too_many_wait() {
  return {ErrorKind::kThrottled,
          "as many calls wait for a reader of the archive as may (ARCHIVE_READERS); try again later"};
}

}  // namespace

WorkerSeat::~WorkerSeat() { seats_.release(); }

Status ColdStream::start(const std::string& program, const archive_format::Fields& request, const Patience& patience) {
  auto call = archive::WorkerCall::start(program, request, patience.deadline);
  if (!call.ok()) return call.error();
  call_ = std::move(call).value();
  call_->set_interrupt(patience.gave_up);
  return {};
}

Result<const archive::Row*> ColdStream::next() {
  while (at_ == block_.size()) {
    if (ended_) return static_cast<const archive::Row*>(nullptr);
    const auto frame = call_->receive();
    if (!frame.ok()) return frame.error();
    if (frame->type == archive_format::FrameType::kDone) {
      ended_ = true;
      continue;
    }
    auto block = archive::RowBlock::decode(frame->payload);
    if (!block.ok()) return block.error();
    block_ = std::move(block).value();
    at_ = 0;
  }
  row_ = block_.at(at_++);
  return static_cast<const archive::Row*>(&row_);
}

ColdReader::ColdReader(archive::StoreSettings settings, std::size_t at_once)
    : settings_(std::move(settings)), seats_(static_cast<std::ptrdiff_t>(at_once)) {}

Result<std::vector<std::string>> ColdReader::files(postgres::Connection& connection, TimeUs from, TimeUs to) {
  const auto rows = exec(connection, statements::kFiles, postgres::Params{}.timestamptz(from).timestamptz(to));
  if (!rows.ok()) return rows.error();
  std::vector<std::string> keys;
  for (int i = 0; i < rows->size(); ++i) keys.emplace_back(rows->text(i, 0));
  return keys;
}

Result<SharedSeat> ColdReader::wait_for_seat(const Patience& patience) {
  while (!seats_.try_acquire_until(std::min(patience.deadline, postgres::Clock::now() + kLook))) {
    if (patience.gave_up && patience.gave_up()) return Error{ErrorKind::kUnknownOutcome, "the client went away"};
    if (postgres::Clock::now() >= patience.deadline)
      return Error{ErrorKind::kThrottled, "all readers of the archive are busy (ARCHIVE_READERS)"};
  }
  return SharedSeat(new WorkerSeat(seats_));
}

Result<SharedSeat> ColdReader::seat(const Patience& patience) {
  const auto aside = rpc::WorkerPool::step_aside();
  if (!aside) return too_many_wait();
  return wait_for_seat(patience);
}

Result<SharedPlace> ColdReader::place(const Patience& patience, SharedSeat seat) {
  if (!settings_.on()) {
    return Error{ErrorKind::kPrecondition,
                 "this stretch of time is in the archive, and this query-api has none: set ARCHIVE_STORE as "
                 "storage-archiver has it"};
  }
  auto aside = rpc::WorkerPool::step_aside();
  if (!aside) return too_many_wait();
  if (!seat) {
    auto waited = wait_for_seat(patience);
    if (!waited.ok()) return waited.error();
    seat = std::move(waited).value();
  }
  return SharedPlace(new ColdPlace(*std::move(aside), std::move(seat)));
}

Result<std::unique_ptr<ColdStream>> ColdReader::open(const std::vector<std::string>& files, const ColdRange& range,
                                                     const Patience& patience, SharedSeat seat) {
  auto taken = place(patience, std::move(seat));
  if (!taken.ok()) return taken.error();
  return open(std::move(taken).value(), files, range, patience);
}

Result<std::unique_ptr<ColdStream>> ColdReader::open(SharedPlace place, const std::vector<std::string>& files,
                                                     const ColdRange& range, const Patience& patience) const {
  auto stream = std::make_unique<ColdStream>(std::move(place));
  archive_format::Fields request = settings_.fields;
  request.insert({{"command", "read"},
                  {"key", joined(files)},
                  {"device", std::to_string(range.first_device)},
                  {"last_device", std::to_string(range.last_device)},
                  {"metric", std::to_string(range.first_metric)},
                  {"last_metric", std::to_string(range.last_metric)},
                  {"from", std::to_string(range.from)},
                  {"to", std::to_string(range.to)},
                  {"limit", std::to_string(range.limit)}});
  if (auto started = stream->start(settings_.worker, request, patience); !started.ok()) return started.error();
  return stream;
}

Result<ColdRows> ColdReader::series(const std::vector<std::string>& files, const ColdRange& range,
                                    std::int64_t most_bytes, const Patience& patience) {
  ColdRows cold;
  cold.to = range.to;
  if (files.empty()) return cold;
  auto stream = open(files, range, patience);
  if (!stream.ok()) return stream.error();
  std::int64_t bytes = 0;
  while (bytes < most_bytes) {
    const auto row = (*stream)->next();
    if (!row.ok()) return row.error();
    if (*row == nullptr) break;
    cold.rows.emplace_back(**row);
    bytes += kRowBytes + static_cast<std::int64_t>((*row)->other.size());
  }
  if (bytes >= most_bytes || std::ssize(cold.rows) >= range.limit) cold.to = cold.rows.back().row.key.time + 1;
  return cold;
}

}  // namespace millrace::query_api
