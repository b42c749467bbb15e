#include "commands.hpp"

#include <algorithm>
#include <functional>

#include "export_file.hpp"
#include "object_store.hpp"
#include "parquet_file.hpp"

namespace millrace::parquet_worker {
namespace {

using archive_format::Fields;
using archive_format::FrameType;
using archive_format::integer_of;
using archive_format::text_of;

std::string text(const Fields& request, std::string_view name) { return std::string(text_of(request, name)); }

Fields fields_of(const FileFacts& facts) {
  return {{"partition", facts.partition},
          {"generation", std::to_string(facts.generation)},
          {"rows", std::to_string(facts.rows)},
          {"rows_hash", facts.rows_hash},
          {"min_time", std::to_string(facts.min_time)},
          {"max_time", std::to_string(facts.max_time)}};
}

Status add_file_fields(arrow::io::RandomAccessFile& file, Fields& fields) {
  const auto bytes = bytes_of(file);
  if (!bytes) return bytes.error();
  auto digest = sha256_of(file);
  if (!digest) return digest.error();
  fields["bytes"] = std::to_string(*bytes);
  fields["sha256"] = std::move(digest).value();
  return {};
}

/// Takes rows until the caller says that there are no more.
Status take_rows(Pipe& pipe, FileWriter& writer) {
  for (;;) {
    const auto frame = pipe.receive();
    if (!frame) return frame.error();
    if (frame->type == FrameType::kDone) return {};
    if (frame->type != FrameType::kRows) return Error{ErrorKind::kInvalid, "rows were expected"};
    const auto block = RowBlock::decode(frame->payload);
    if (!block) return block.error();
    if (auto added = writer.add(*block); !added) return added;
  }
}

Result<Fields> write(Pipe& pipe, const Fields& request) {
  const std::string path = text(request, "path");
  FileFacts facts;
  facts.partition = text(request, "partition");
  facts.generation = integer_of(request, "generation").value_or(0);
  auto writer = FileWriter::open(path, facts);
  if (!writer) return writer.error();
  if (auto taken = take_rows(pipe, **writer); !taken) return taken.error();
  const auto written = (*writer)->finish();
  if (!written) return written.error();
  Fields answer = fields_of(*written);
  const auto file = open_local(path);
  if (!file) return file.error();
  if (auto added = add_file_fields(**file, answer); !added) return added.error();
  return answer;
}

Result<Fields> put(const Fields& request) {
  auto store = ObjectStore::open(request);
  if (!store) return store.error();
  const std::string key = text(request, "key");
  if (auto done = (*store)->put(text(request, "path"), key); !done) return done.error();
  const auto file = (*store)->read(key);
  if (!file) return file.error();
  const auto bytes = bytes_of(**file);
  if (!bytes) return bytes.error();
  return Fields{{"bytes", std::to_string(*bytes)}};
}

Result<Fields> verify(const Fields& request) {
  auto store = ObjectStore::open(request);
  if (!store) return store.error();
  const auto file = (*store)->read(text(request, "key"));
  if (!file) return file.error();
  auto reader = FileReader::open(*file);
  if (!reader) return reader.error();
  archive_format::RowsHash hash;
  const auto figures = (*reader)->read({}, [&hash](const Row& row) {
    hash.add(row);
    return Status{};
  });
  if (!figures) return figures.error();
  const FileFacts& facts = (*reader)->facts();
  if (hash.rows() != facts.rows || hash.hex() != facts.rows_hash)
    return Error{ErrorKind::kCorrupt, "the file's rows are not those that its footer tells of"};
  Fields answer = fields_of(facts);
  if (auto added = add_file_fields(**file, answer); !added) return added.error();
  return answer;
}

Selection selection_of(const Fields& request) {
  Selection wanted;
  for (const auto& [name, id] : {std::pair{"device", &wanted.device}, std::pair{"last_device", &wanted.last_device},
                                 std::pair{"metric", &wanted.metric}, std::pair{"last_metric", &wanted.last_metric}}) {
    if (const auto given = integer_of(request, name)) *id = static_cast<std::int32_t>(*given);
  }
  wanted.from = integer_of(request, "from").value_or(wanted.from);
  wanted.to = integer_of(request, "to").value_or(wanted.to);
  wanted.limit = integer_of(request, "limit").value_or(wanted.limit);
  return wanted;
}

/// Archived files are named by what they hold: `2026-11-20.g3.parquet`. kCorrupt: the one under this key is another
/// day's or generation's, and rows would be missing without a word.
Status check_name(std::string_view key, const FileFacts& facts) {
  const std::string_view name = key.substr(key.rfind('/') + 1);
  const std::string own =
      facts.partition.substr(facts.partition.rfind('/') + 1) + ".g" + std::to_string(facts.generation) + ".parquet";
  const bool is_of_a_day = name.find(".g") != std::string_view::npos;
  if (!is_of_a_day || name == own) return {};
  return Error{ErrorKind::kCorrupt, "the object " + std::string(key) + " is the file " + own};
}

/// The wanted rows of one file after another, each read as long as rows are still wanted.
Result<ReadFigures> read_files(ObjectStore& store, std::string_view keys, Selection wanted,
                               const std::function<Status(const Row&)>& each) {
  ReadFigures total;
  while (!keys.empty() && wanted.limit > 0) {
    const std::size_t end = std::min(keys.find('\n'), keys.size());
    const std::string key(keys.substr(0, end));
    keys.remove_prefix(std::min(end + 1, keys.size()));
    const auto file = store.read(key);
    if (!file) return file.error();
    auto reader = FileReader::open(*file);
    if (!reader) return reader.error();
    if (auto named = check_name(key, (*reader)->facts()); !named) return named.error();
    const auto figures = (*reader)->read(wanted, each);
    if (!figures) return figures.error();
    wanted.limit -= figures->rows;
    total.rows += figures->rows;
    total.row_groups += figures->row_groups;
    total.row_groups_read += figures->row_groups_read;
  }
  return total;
}

Result<Fields> read(Pipe& pipe, const Fields& request) {
  auto store = ObjectStore::open(request);
  if (!store) return store.error();
  RowBlock block;
  const auto send = [&]() -> Status {
    const Status sent = pipe.send(FrameType::kRows, block.encode());
    block.clear();
    return sent;
  };
  const auto figures =
      read_files(**store, text_of(request, "key"), selection_of(request), [&](const Row& row) -> Status {
        if (!block.add(row)) return Error{ErrorKind::kTooLarge, "a text of the file is longer than a frame may be"};
        return block.full() ? send() : Status{};
      });
  if (!figures) return figures.error();
  if (!block.empty()) {
    if (auto sent = send(); !sent) return sent.error();
  }
  return Fields{{"rows", std::to_string(figures->rows)},
                {"row_groups", std::to_string(figures->row_groups)},
                {"row_groups_read", std::to_string(figures->row_groups_read)}};
}

/// Each block is answered by its bytes, as far as they are ready, and an item: neither side writes while the other
/// does.
Result<Fields> export_rows(Pipe& pipe, const Fields& request) {
  auto file = ExportFile::open(text_of(request, "format"), pipe);
  if (!file) return file.error();
  for (;;) {
    const auto frame = pipe.receive();
    if (!frame) return frame.error();
    if (frame->type == FrameType::kDone) break;
    if (frame->type == FrameType::kItem) {
      const auto names = archive_format::decode_fields(frame->payload);
      if (!names) return names.error();
      if (auto learnt = (*file)->learn(*names); !learnt) return learnt.error();
      continue;
    }
    if (frame->type != FrameType::kRows) return Error{ErrorKind::kInvalid, "rows or names were expected"};
    const auto block = RowBlock::decode(frame->payload);
    if (!block) return block.error();
    if (auto added = (*file)->add(*block); !added) return added.error();
    if (auto sent = pipe.send(FrameType::kItem, Fields{}); !sent) return sent.error();
  }
  const auto rows = (*file)->finish();
  if (!rows) return rows.error();
  return Fields{{"rows", std::to_string(*rows)}};
}

Result<Fields> list(Pipe& pipe, const Fields& request) {
  auto store = ObjectStore::open(request);
  if (!store) return store.error();
  const auto listed = (*store)->list(text(request, "folder"), [&pipe](const StoredObject& object) {
    return pipe.send(FrameType::kItem, Fields{{"key", object.key},
                                              {"bytes", std::to_string(object.bytes)},
                                              {"modified", std::to_string(object.modified_us)}});
  });
  if (!listed) return listed.error();
  return Fields{};
}

Result<Fields> remove(const Fields& request) {
  auto store = ObjectStore::open(request);
  if (!store) return store.error();
  if (auto removed = (*store)->remove(text(request, "key")); !removed) return removed.error();
  return Fields{};
}

Result<Fields> answer_to(Pipe& pipe, const Fields& request) {
  const std::string_view command = text_of(request, "command");
  if (command == "write") return write(pipe, request);
  if (command == "put") return put(request);
  if (command == "verify") return verify(request);
  if (command == "read") return read(pipe, request);
  if (command == "export") return export_rows(pipe, request);
  if (command == "list") return list(pipe, request);
  if (command == "delete") return remove(request);
  return Error{ErrorKind::kInvalid, "'" + std::string(command) + "' is no command of parquet-worker"};
}

Result<Fields> take_request(Pipe& pipe) {
  const auto frame = pipe.receive();
  if (!frame) return frame.error();
  if (frame->type != FrameType::kRequest) return Error{ErrorKind::kInvalid, "the first frame must be a request"};
  return archive_format::decode_fields(frame->payload);
}

}  // namespace

Status serve(Pipe& pipe) {
  const auto request = take_request(pipe);
  const auto answer = request ? answer_to(pipe, *request) : Result<Fields>(request.error());
  if (answer) return pipe.send(FrameType::kDone, *answer);
  return pipe.send(FrameType::kError, Fields{{"kind", std::to_string(static_cast<int>(answer.error().kind))},
                                             {"message", answer.error().message}});
}

}  // namespace millrace::parquet_worker
