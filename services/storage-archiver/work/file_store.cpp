#include "work/file_store.hpp"

#include <array>
#include <optional>
#include <utility>

namespace millrace::archiver {

using archive::Row;
using archive::RowBlock;
using archive::WorkerCall;
using archive_format::Fields;
using archive_format::FrameType;
using archive_format::integer_of;
using archive_format::text_of;

namespace {

/// Rows of an archived file as the worker sends them.
class FileRows final : public archive::RowSource {
 public:
  explicit FileRows(std::unique_ptr<WorkerCall> call) : call_(std::move(call)) {}

  Result<const Row*> next() override {
    while (at_ == block_.size()) {
      const auto frame = call_->receive();
      if (!frame) return frame.error();
      if (frame->type == FrameType::kDone) return static_cast<const Row*>(nullptr);
      auto block = RowBlock::decode(frame->payload);
      if (!block) return block.error();
      block_ = std::move(block).value();
      at_ = 0;
    }
    row_ = block_.at(at_++);
    return static_cast<const Row*>(&row_);
  }

 private:
  std::unique_ptr<WorkerCall> call_;
  RowBlock block_;
  std::size_t at_ = 0;
  Row row_;
};

Error differs(const ArchivedFile& file, std::string_view what, std::string_view found, std::string_view expected) {
  return {ErrorKind::kCorrupt, "the stored file " + file.key + " differs from what was written: " + std::string(what) +
                                   " " + std::string(found) + ", expected " + std::string(expected)};
}

}  // namespace

Fields FileStore::request(std::string_view command, const std::string& key) const {
  Fields fields = settings_.fields;
  fields["command"] = command;
  fields["key"] = key;
  return fields;
}

Result<std::unique_ptr<WorkerCall>> FileStore::start(const Fields& request) const {
  auto call = WorkerCall::start(settings_.worker, request, archive::Clock::now() + timeout_);
  if (call && interrupt_) (*call)->set_interrupt(interrupt_);
  return call;
}

Status FileStore::write(const std::string& path, ArchivedFile& file, const Feed& feed) {
  auto call = start({{"command", "write"},
                     {"path", path},
                     {"partition", "sample/" + file.day},
                     {"generation", std::to_string(file.generation)}});
  if (!call) return call.error();
  archive_format::RowsHash hash;
  RowBlock block;
  auto fed = feed([&](const Row& row) -> Status {
    hash.add(row);
    if (!block.add(row)) {
      return Error{ErrorKind::kTooLarge, "a text of " + std::to_string(row.other.size()) + " bytes; a file takes " +
                                             std::to_string(RowBlock::kMostText)};
    }
    if (!block.full()) return {};
    Status sent = (*call)->send(block);
    block.clear();
    return sent;
  });
  if (!fed) return fed;
  if (auto sent = (*call)->send(block); !sent) return sent;
  if (auto sent = (*call)->end_rows(); !sent) return sent;
  const auto answer = (*call)->finish();
  if (!answer) return answer.error();
  file.rows = integer_of(*answer, "rows").value_or(-1);
  file.rows_hash = text_of(*answer, "rows_hash");
  file.min_time = integer_of(*answer, "min_time").value_or(0);
  file.max_time = integer_of(*answer, "max_time").value_or(0);
  file.bytes = integer_of(*answer, "bytes").value_or(0);
  file.sha256 = text_of(*answer, "sha256");
  if (file.rows != hash.rows() || file.rows_hash != hash.hex())
    return Error{ErrorKind::kCorrupt, "parquet-worker wrote other rows than it was given"};
  return {};
}

Status FileStore::put(const std::string& path, const ArchivedFile& file) {
  Fields fields = request("put", file.key);
  fields["path"] = path;
  auto call = start(fields);
  if (!call) return call.error();
  const auto answer = (*call)->finish();
  if (!answer) return answer.error();
  if (integer_of(*answer, "bytes") != file.bytes)
    return differs(file, "size", text_of(*answer, "bytes"), std::to_string(file.bytes));
  return {};
}

Status FileStore::verify(const ArchivedFile& file) {
  auto call = start(request("verify", file.key));
  if (!call) return call.error();
  const auto answer = (*call)->finish();
  if (!answer) return answer.error();
  const std::array<std::pair<std::string_view, std::string>, 6> expected{
      {{"bytes", std::to_string(file.bytes)},
       {"sha256", file.sha256},
       {"rows", std::to_string(file.rows)},
       {"rows_hash", file.rows_hash},
       {"partition", "sample/" + file.day},
       {"generation", std::to_string(file.generation)}}};
  for (const auto& [name, value] : expected) {
    if (text_of(*answer, name) != value) return differs(file, name, text_of(*answer, name), value);
  }
  return {};
}

Result<std::unique_ptr<archive::RowSource>> FileStore::rows(const std::string& key) {
  auto call = start(request("read", key));
  if (!call) return call.error();
  return std::unique_ptr<archive::RowSource>(std::make_unique<FileRows>(std::move(call).value()));
}

Result<std::vector<StoredObject>> FileStore::list(const std::string& folder) {
  Fields fields = request("list", "");
  fields["folder"] = folder;
  auto call = start(fields);
  if (!call) return call.error();
  std::vector<StoredObject> objects;
  for (;;) {
    const auto frame = (*call)->receive();
    if (!frame) return frame.error();
    if (frame->type == FrameType::kDone) return objects;
    const auto item = archive_format::decode_fields(frame->payload);
    if (!item) return item.error();
    objects.push_back({std::string(text_of(*item, "key")), integer_of(*item, "bytes").value_or(0),
                       integer_of(*item, "modified").value_or(0)});
  }
}

Status FileStore::remove(const std::string& key) {
  auto call = start(request("delete", key));
  if (!call) return call.error();
  const auto answer = (*call)->finish();
  return answer ? Status{} : Status{answer.error()};
}

}  // namespace millrace::archiver
