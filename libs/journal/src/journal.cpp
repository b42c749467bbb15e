#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

#include <millrace/base/digest.hpp>
#include <millrace/journal/journal.hpp>

#include "file.hpp"
#include "recovery.hpp"

namespace millrace::journal {

struct Journal::Impl {
  Options options;
  Recovered recovered;
  RunId run{};

  mutable std::mutex mutex;
  std::condition_variable room;
  Files files;
  std::size_t bytes = 0;
  std::shared_ptr<File> current;  // null: the next append begins a file
  std::uint64_t number = 0;       // of the newest file
  std::uint64_t next_counter = 1;
  std::string buffer = {};

  File checkpoint_file;
  Checkpoint checkpoint;
  std::vector<std::shared_ptr<File>> unsynced;  // with entries since their last sync
  bool checkpoint_dirty = false;

  Status start_file();
  Status write_entry(std::string_view body);
  void drop_done();
};

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::open(const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) return Error{ErrorKind::kUnavailable, "cannot make " + options.folder + ": " + error.message()};
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  const std::string bits = random_bytes(impl->run.size());
  std::memcpy(impl->run.data(), bits.data(), bits.size());
  auto checkpoint_file = File::open(options.folder + "/confirmed", File::Mode::kReadWrite);
  if (!checkpoint_file.ok()) return checkpoint_file.error();
  std::string slots;
  if (auto read = checkpoint_file->read(0, 2 * kCheckpointSlotBytes, slots); !read.ok()) return read.error();
  impl->checkpoint = decode_checkpoints(slots);
  impl->checkpoint_file = std::move(*checkpoint_file);
  auto recovery = recover(options.folder, impl->checkpoint);
  if (!recovery.ok()) return recovery.error();
  impl->files = std::move(recovery->files);
  impl->recovered = std::move(recovery->found);
  impl->number = recovery->highest;
  for (const auto& [number, file] : impl->files) impl->bytes += file.size;
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

const Recovered& Journal::recovered() const { return impl_->recovered; }

Status Journal::Impl::start_file() {
  const std::string path = file_path(options.folder, number + 1);
  auto file = File::open(path, File::Mode::kCreate);
  if (!file.ok()) return file.error();
  FileState state;
  state.header = {run, next_counter};
  state.size = kFileHeaderBytes;
  Status written = file->write(0, encode_header(state.header));
  if (written.ok() && options.durable) written = sync_folder(options.folder);
  if (!written.ok()) {
    drop_file(options.folder, number + 1, state);
    return written;
  }
  ++number;
  files.emplace(number, state);
  bytes += state.size;
  current = std::make_shared<File>(std::move(*file));
  return {};
}

Status Journal::Impl::write_entry(std::string_view body) {
  buffer.clear();
  encode_entry(body, buffer);
  FileState& file = files.at(number);
  if (auto written = current->write(file.size, buffer); !written.ok()) {
    // What was written in part must not stand before the next entry; where it cannot be cut off, a new file begins.
    if (!current->truncate(file.size).ok()) current.reset();
    return written;
  }
  file.size += buffer.size();
  bytes += buffer.size();
  ++next_counter;
  if (options.durable && (unsynced.empty() || unsynced.back() != current)) unsynced.push_back(current);
  return {};
}

Status Journal::append(std::string_view body, Room room) {
  if (body.empty() || body.size() > kMaxBodyBytes) {
    return Error{ErrorKind::kInvalid, "an entry has 1 to " + std::to_string(kMaxBodyBytes) + " bytes"};
  }
  const std::lock_guard lock(impl_->mutex);
  if (room == Room::kWithinLimit && impl_->bytes + body.size() + kEntryOverhead > impl_->options.limit_bytes) {
    return Error{ErrorKind::kThrottled, "the journal has its " + std::to_string(impl_->options.limit_bytes) + " bytes"};
  }
  if (!impl_->current || impl_->files.at(impl_->number).size >= impl_->options.file_bytes) {
    if (auto started = impl_->start_file(); !started.ok()) return started;
  }
  return impl_->write_entry(body);
}

void Journal::wait_for_room(std::chrono::milliseconds timeout) {
  std::unique_lock lock(impl_->mutex);
  const std::size_t before = impl_->bytes;
  impl_->room.wait_for(lock, timeout, [&] { return impl_->bytes < before; });
}

Status Journal::sync() {
  std::vector<std::shared_ptr<File>> files;
  bool confirmed = false;
  {
    const std::lock_guard lock(impl_->mutex);
    files.swap(impl_->unsynced);
    confirmed = std::exchange(impl_->checkpoint_dirty, false);
  }
  Status done;
  for (const auto& file : files) {
    if (done.ok()) done = file->sync();
  }
  if (done.ok() && confirmed) done = impl_->checkpoint_file.sync();
  if (done.ok()) return done;
  const std::lock_guard lock(impl_->mutex);
  impl_->unsynced.insert(impl_->unsynced.begin(), files.begin(), files.end());
  impl_->checkpoint_dirty = impl_->checkpoint_dirty || confirmed;
  return done;
}

Status Journal::confirm(const Position& done) {
  const std::lock_guard lock(impl_->mutex);
  Checkpoint next{impl_->checkpoint.generation + 1, done.file, done.offset, done.counter};
  if (Position{next.file, next.offset} <= Position{impl_->checkpoint.file, impl_->checkpoint.offset}) return {};
  const std::size_t slot = (next.generation % 2) * kCheckpointSlotBytes;
  if (auto written = impl_->checkpoint_file.write(slot, encode_checkpoint(next)); !written.ok()) return written;
  impl_->checkpoint = next;
  impl_->checkpoint_dirty = impl_->options.durable;
  impl_->drop_done();
  return {};
}

// The newest file stays while it is written; any other goes when all of it is done.
void Journal::Impl::drop_done() {
  bool freed = false;
  while (!files.empty()) {
    const auto& [first, state] = *files.begin();
    const bool done = first < checkpoint.file || (first == checkpoint.file && checkpoint.offset >= state.size);
    if (!done || (current && first == number)) break;
    bytes -= state.size;
    drop_file(options.folder, first, state);
    files.erase(files.begin());
    freed = true;
  }
  if (freed) room.notify_all();
}

Position Journal::confirmed() const {
  const std::lock_guard lock(impl_->mutex);
  return {impl_->checkpoint.file, impl_->checkpoint.offset, impl_->checkpoint.counter};
}

std::size_t Journal::bytes() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->bytes;
}

struct Reader::Impl {
  Journal::Impl& journal;
  Position at;
  RunId run{};
  std::uint64_t open_number = 0;
  File file = {};
  std::string buffer = {};
  std::size_t taken = 0;  // of the buffer
  std::size_t limit = 0;  // of the file, as far as it is known to be whole

  bool step();
  Status open_file();
  Status fill(std::size_t bytes);
};

Reader::Reader(Journal& journal) : impl_(new Impl{*journal.impl_, journal.confirmed()}) {}
Reader::~Reader() = default;

// Moves on to where the next entry stands; false: there is none yet.
bool Reader::Impl::step() {
  const std::lock_guard lock(journal.mutex);
  auto found = journal.files.lower_bound(at.file);
  if (found != journal.files.end() && found->first == at.file && at.offset >= found->second.size) ++found;
  if (found == journal.files.end()) return false;
  const auto& [number, state] = *found;
  if (number != at.file) at = {number, kFileHeaderBytes, state.header.first_counter};
  limit = state.size;
  run = state.header.run;
  return at.offset < limit;
}

Status Reader::Impl::open_file() {
  if (open_number == at.file) return {};
  auto opened = File::open(file_path(journal.options.folder, at.file), File::Mode::kRead);
  if (!opened.ok()) return opened.error();
  file = std::move(*opened);
  open_number = at.file;
  buffer.clear();
  taken = 0;
  return {};
}

// At least so many bytes from the place on, if the file has them.
Status Reader::Impl::fill(std::size_t wanted) {
  constexpr std::size_t kReadBytes = 256 * 1024;
  const std::size_t held = buffer.size() - taken;
  if (held >= wanted) return {};
  buffer.erase(0, taken);
  taken = 0;
  const std::size_t left = limit - at.offset - held;
  return file.read(at.offset + held, std::min(left, std::max(kReadBytes, wanted - held)), buffer);
}

Result<std::optional<Entry>> Reader::next() {
  Impl& my = *impl_;
  if (!my.step()) return std::optional<Entry>();
  if (auto opened = my.open_file(); !opened.ok()) return opened.error();
  if (auto filled = my.fill(kEntryOverhead); !filled.ok()) return filled.error();
  Scanned scanned = scan_entry(std::string_view(my.buffer).substr(my.taken));
  if (scanned.kind == Scanned::Kind::kIncomplete && scanned.size > 0) {
    if (auto filled = my.fill(scanned.size); !filled.ok()) return filled.error();
    scanned = scan_entry(std::string_view(my.buffer).substr(my.taken));
  }
  if (scanned.kind != Scanned::Kind::kEntry) {
    return Error{ErrorKind::kCorrupt, file_path(my.journal.options.folder, my.at.file) +
                                          " has no whole entry at byte " + std::to_string(my.at.offset)};
  }
  Entry entry;
  entry.run = my.run;
  entry.counter = my.at.counter;
  entry.body.assign(scanned.body);
  my.taken += scanned.size;
  my.at.offset += scanned.size;
  ++my.at.counter;
  entry.end = my.at;
  return std::optional<Entry>(std::move(entry));
}

}  // namespace millrace::journal
