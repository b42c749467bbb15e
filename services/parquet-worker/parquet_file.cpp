#include "parquet_file.hpp"

#include <algorithm>
#include <charconv>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <arrow/util/key_value_metadata.h>
#include <fcntl.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>
#include <parquet/statistics.h>
#include <unistd.h>

#include "sha256.hpp"

namespace millrace::parquet_worker {
namespace {

using archive_format::RowKey;
using archive_format::RowsHash;

constexpr std::int64_t kRowGroupRows = 122'880;
constexpr int kZstdLevel = 3;
enum Column { kDevice, kMetric, kTime, kValue, kKind, kOther, kUntimed };

Error failure(const arrow::Status& status, std::string_view doing) {
  return {ErrorKind::kUnavailable, std::string(doing) + ": " + status.message()};
}
Error damaged(const std::string& what) { return {ErrorKind::kCorrupt, "the file is no archived day: " + what}; }

const std::shared_ptr<arrow::Schema>& schema() {
  static const auto kSchema = arrow::schema({
      arrow::field("device_id", arrow::int32(), false),
      arrow::field("metric", arrow::int32(), false),
      arrow::field("time", arrow::timestamp(arrow::TimeUnit::MICRO, "UTC"), false),
      arrow::field("value", arrow::float64()),
      arrow::field("kind", arrow::int8()),
      arrow::field("other", arrow::utf8()),
      arrow::field("untimed", arrow::boolean()),
  });
  return kSchema;
}

/// Most times are as far from the one before them as that one is from its own.
bool are_regular(const std::vector<std::int64_t>& times) {
  std::size_t regular = 0;
  for (std::size_t i = 2; i < times.size(); ++i) {
    if (times[i] - times[i - 1] == times[i - 1] - times[i - 2]) ++regular;
  }
  return 2 * regular > times.size();
}

std::shared_ptr<parquet::WriterProperties> properties(bool regular_times) {
  // A named object: the chain gives back a pointer into it.
  parquet::WriterProperties::Builder builder;
  builder.compression(parquet::Compression::ZSTD)->compression_level(kZstdLevel);
  builder.max_row_group_length(kRowGroupRows)->enable_write_page_index()->enable_page_checksum();
  builder.created_by("millrace parquet-worker");
  builder.set_sorting_columns({{kDevice, false, false}, {kMetric, false, false}, {kTime, false, false}});
  // Regular times have few differences. The differences of others never repeat, and cost 37 bits at each end of a
  // series; but the metrics of a device have the same times, whose bytes zstd finds again as they are. (Split by bytes
  // they would be a little smaller, and DuckDB before its version of July 2026 could not read them.)
  builder.disable_dictionary("time")->encoding(
      "time", regular_times ? parquet::Encoding::DELTA_BINARY_PACKED : parquet::Encoding::PLAIN);
  // Decimals with few digits: a dictionary beats all else.
  builder.dictionary_pagesize_limit(4 << 20);
  return builder.build();
}

/// The columns of a block as a record batch.
class BatchBuilder {
 public:
  arrow::Result<std::shared_ptr<arrow::RecordBatch>> build(const RowBlock& block) {
    const auto rows = static_cast<std::int64_t>(block.size());
    ARROW_RETURN_NOT_OK(devices_.AppendValues(block.devices()));
    ARROW_RETURN_NOT_OK(metrics_.AppendValues(block.metrics()));
    ARROW_RETURN_NOT_OK(times_.AppendValues(block.times()));
    for (std::size_t i = 0; i < block.size(); ++i) ARROW_RETURN_NOT_OK(add_value(block.at(i)));
    arrow::ArrayVector columns(static_cast<std::size_t>(schema()->num_fields()));
    ARROW_RETURN_NOT_OK(devices_.Finish(&columns[kDevice]));
    ARROW_RETURN_NOT_OK(metrics_.Finish(&columns[kMetric]));
    ARROW_RETURN_NOT_OK(times_.Finish(&columns[kTime]));
    ARROW_RETURN_NOT_OK(values_.Finish(&columns[kValue]));
    ARROW_RETURN_NOT_OK(kinds_.Finish(&columns[kKind]));
    ARROW_RETURN_NOT_OK(others_.Finish(&columns[kOther]));
    ARROW_RETURN_NOT_OK(untimed_.Finish(&columns[kUntimed]));
    return arrow::RecordBatch::Make(schema(), rows, std::move(columns));
  }

 private:
  arrow::Status add_value(const Row& row) {
    ARROW_RETURN_NOT_OK(row.untimed ? untimed_.Append(true) : untimed_.AppendNull());
    if (row.kind == 0) {
      ARROW_RETURN_NOT_OK(kinds_.AppendNull());
      ARROW_RETURN_NOT_OK(others_.AppendNull());
      return values_.Append(row.number);
    }
    ARROW_RETURN_NOT_OK(values_.AppendNull());
    ARROW_RETURN_NOT_OK(kinds_.Append(static_cast<std::int8_t>(row.kind)));
    return others_.Append(row.other);
  }

  arrow::Int32Builder devices_;
  arrow::Int32Builder metrics_;
  arrow::TimestampBuilder times_{schema()->field(kTime)->type(), arrow::default_memory_pool()};
  arrow::DoubleBuilder values_;
  arrow::Int8Builder kinds_;
  arrow::StringBuilder others_;
  arrow::BooleanBuilder untimed_;
};

class ParquetWriter final : public FileWriter {
 public:
  ParquetWriter(std::shared_ptr<arrow::io::FileOutputStream> sink, FileFacts facts)
      : sink_(std::move(sink)), facts_(std::move(facts)) {}

  Status add(const RowBlock& block) override {
    for (std::size_t i = 0; i < block.size(); ++i) {
      const RowKey key = block.at(i).key;
      if (last_ && *last_ >= key) {
        return Error{ErrorKind::kInvalid, "row " + std::to_string(hash_.rows() + static_cast<std::int64_t>(i)) +
                                              " does not lie behind the one before it (device, metric, time)"};
      }
      facts_.min_time = last_ ? std::min(facts_.min_time, key.time) : key.time;
      facts_.max_time = last_ ? std::max(facts_.max_time, key.time) : key.time;
      last_ = key;
    }
    if (auto begun = begin(block); !begun) return begun;
    hash_.add(block);
    auto batch = builder_.build(block);
    if (!batch.ok()) return failure(batch.status(), "building columns");
    const auto written = writer_->WriteRecordBatch(**batch);
    return written.ok() ? Status{} : Status{failure(written, "writing the file")};
  }

  Result<FileFacts> finish() override {
    if (auto begun = begin({}); !begun) return begun.error();
    facts_.rows = hash_.rows();
    facts_.rows_hash = hash_.hex();
    const auto metadata = arrow::key_value_metadata({
        {"millrace.format", "1"},
        {"millrace.partition", facts_.partition},
        {"millrace.generation", std::to_string(facts_.generation)},
        {"millrace.rows", std::to_string(facts_.rows)},
        {"millrace.rows_hash", facts_.rows_hash},
        {"millrace.min_time_us", std::to_string(facts_.min_time)},
        {"millrace.max_time_us", std::to_string(facts_.max_time)},
    });
    auto done = writer_->AddKeyValueMetadata(metadata);
    if (done.ok()) done = writer_->Close();
    if (done.ok()) done = sink_->Flush();
    if (!done.ok()) return failure(done, "ending the file");
    if (::fsync(sink_->file_descriptor()) != 0)
      return Error{ErrorKind::kUnavailable, "flushing the file to disk failed"};
    done = sink_->Close();
    if (!done.ok()) return failure(done, "closing the file");
    return facts_;
  }

 private:
  // The first block tells how the times are written.
  Status begin(const RowBlock& first) try {
    if (writer_) return {};
    auto writer = parquet::arrow::FileWriter::Open(*schema(), arrow::default_memory_pool(), sink_,
                                                   properties(are_regular(first.times())));
    if (!writer.ok()) return failure(writer.status(), "beginning the file");
    writer_ = std::move(*writer);
    return {};
  } catch (const parquet::ParquetException& error) {
    return Error{ErrorKind::kInternal, error.what()};
  }

  std::shared_ptr<arrow::io::FileOutputStream> sink_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  BatchBuilder builder_;
  FileFacts facts_;
  RowsHash hash_;
  std::optional<RowKey> last_;
};

Result<std::int64_t> number_of(const arrow::KeyValueMetadata& metadata, const std::string& name) {
  const auto text = metadata.Get(name);
  if (!text.ok()) return damaged("its footer has no " + name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) return damaged(name + " is no number");
  return value;
}

Result<FileFacts> facts_of(const parquet::FileMetaData& footer) {
  const auto& metadata = footer.key_value_metadata();
  if (!metadata) return damaged("its footer has no key-value metadata");
  const auto format = number_of(*metadata, "millrace.format");
  if (!format) return format.error();
  if (*format != 1) return damaged("format " + std::to_string(*format) + ", this program reads format 1");
  FileFacts facts;
  facts.partition = metadata->Get("millrace.partition").ValueOr("");
  facts.rows_hash = metadata->Get("millrace.rows_hash").ValueOr("");
  for (auto [name, target] :
       {std::pair{"millrace.generation", &facts.generation}, std::pair{"millrace.rows", &facts.rows},
        std::pair{"millrace.min_time_us", &facts.min_time}, std::pair{"millrace.max_time_us", &facts.max_time}}) {
    const auto number = number_of(*metadata, name);
    if (!number) return number.error();
    *target = *number;
  }
  if (footer.num_rows() != facts.rows) return damaged("its footer contradicts itself about the number of rows");
  return facts;
}

/// False where the statistics of a column say that no value lies in [from, to]. Without statistics: true.
template <typename Type>
bool may_hold(const parquet::RowGroupMetaData& group, int column, std::int64_t from, std::int64_t to) {
  const auto statistics = group.ColumnChunk(column)->statistics();
  if (!statistics || !statistics->HasMinMax()) return true;
  const auto& typed = static_cast<const parquet::TypedStatistics<Type>&>(*statistics);
  return static_cast<std::int64_t>(typed.max()) >= from && static_cast<std::int64_t>(typed.min()) <= to;
}

bool may_hold(const parquet::RowGroupMetaData& group, const Selection& wanted) {
  const auto within = [&group](Column column, const std::optional<std::int32_t>& first,
                               const std::optional<std::int32_t>& last) {
    return !first || may_hold<parquet::Int32Type>(group, column, *first, last.value_or(*first));
  };
  if (!within(kDevice, wanted.device, wanted.last_device)) return false;
  if (!within(kMetric, wanted.metric, wanted.last_metric)) return false;
  return may_hold<parquet::Int64Type>(group, kTime, wanted.from, wanted.to - 1);
}

/// The columns of a batch; false where they are not those of schema().
struct Columns {
  explicit Columns(const arrow::RecordBatch& batch)
      : device(dynamic_cast<const arrow::Int32Array*>(batch.column(kDevice).get())),
        metric(dynamic_cast<const arrow::Int32Array*>(batch.column(kMetric).get())),
        time(dynamic_cast<const arrow::TimestampArray*>(batch.column(kTime).get())),
        value(dynamic_cast<const arrow::DoubleArray*>(batch.column(kValue).get())),
        kind(dynamic_cast<const arrow::Int8Array*>(batch.column(kKind).get())),
        other(dynamic_cast<const arrow::StringArray*>(batch.column(kOther).get())),
        untimed(dynamic_cast<const arrow::BooleanArray*>(batch.column(kUntimed).get())) {}

  [[nodiscard]] bool complete() const {
    return device != nullptr && metric != nullptr && time != nullptr && value != nullptr && kind != nullptr &&
           other != nullptr && untimed != nullptr;
  }
  [[nodiscard]] Row at(std::int64_t i) const {
    Row row;
    row.key = {device->Value(i), metric->Value(i), time->Value(i)};
    row.kind = kind->IsNull(i) ? std::uint8_t{0} : static_cast<std::uint8_t>(kind->Value(i));
    row.untimed = !untimed->IsNull(i) && untimed->Value(i);
    if (!value->IsNull(i)) row.number = value->Value(i);
    if (!other->IsNull(i)) row.other = other->GetView(i);
    return row;
  }

  const arrow::Int32Array* device;
  const arrow::Int32Array* metric;
  const arrow::TimestampArray* time;
  const arrow::DoubleArray* value;
  const arrow::Int8Array* kind;
  const arrow::StringArray* other;
  const arrow::BooleanArray* untimed;
};

bool is_within(std::int32_t id, const std::optional<std::int32_t>& first, const std::optional<std::int32_t>& last) {
  return !first || (id >= *first && id <= last.value_or(*first));
}

bool is_wanted(const RowKey& key, const Selection& wanted) {
  return is_within(key.device, wanted.device, wanted.last_device) &&
         is_within(key.metric, wanted.metric, wanted.last_metric) && key.time >= wanted.from && key.time < wanted.to;
}

class ParquetReader final : public FileReader {
 public:
  ParquetReader(std::unique_ptr<parquet::arrow::FileReader> reader, FileFacts facts)
      : reader_(std::move(reader)), facts_(std::move(facts)) {}

  [[nodiscard]] const FileFacts& facts() const override { return facts_; }

  Result<ReadFigures> read(const Selection& wanted, const std::function<Status(const Row&)>& each) override try {
    ReadFigures figures;
    const auto footer = reader_->parquet_reader()->metadata();
    figures.row_groups = footer->num_row_groups();
    for (int group = 0; group < figures.row_groups && figures.rows < wanted.limit; ++group) {
      if (!may_hold(*footer->RowGroup(group), wanted)) continue;
      ++figures.row_groups_read;
      if (auto done = read_group(group, wanted, each, figures.rows); !done) return done.error();
    }
    return figures;
  } catch (const parquet::ParquetException& error) {
    return damaged(error.what());
  }

 private:
  Status read_group(int group, const Selection& wanted, const std::function<Status(const Row&)>& each,
                    std::int64_t& given) {
    auto batches = reader_->GetRecordBatchReader(std::vector<int>{group});
    if (!batches.ok()) return damaged(batches.status().message());
    for (;;) {
      std::shared_ptr<arrow::RecordBatch> batch;
      if (const auto next = (*batches)->ReadNext(&batch); !next.ok()) return damaged(next.message());
      if (!batch) return {};
      const Columns columns(*batch);
      if (!columns.complete()) return damaged("its columns have other types");
      for (std::int64_t i = 0; i < batch->num_rows() && given < wanted.limit; ++i) {
        const Row row = columns.at(i);
        if (!is_wanted(row.key, wanted)) continue;
        if (row.kind > archive_format::kMostKind) return damaged("a row of an unknown kind");
        if (auto taken = each(row); !taken) return taken;
        ++given;
      }
    }
  }

  std::unique_ptr<parquet::arrow::FileReader> reader_;
  FileFacts facts_;
};

}  // namespace

Result<std::unique_ptr<FileWriter>> FileWriter::open(const std::string& path, const FileFacts& facts) {
  auto sink = arrow::io::FileOutputStream::Open(path);
  if (!sink.ok()) return failure(sink.status(), "making " + path);
  return std::unique_ptr<FileWriter>(std::make_unique<ParquetWriter>(*sink, facts));
}

Result<std::unique_ptr<FileReader>> FileReader::open(std::shared_ptr<arrow::io::RandomAccessFile> file) try {
  parquet::ReaderProperties reading;
  reading.set_page_checksum_verification(true);
  auto parquet_reader = parquet::ParquetFileReader::Open(std::move(file), reading);
  auto facts = facts_of(*parquet_reader->metadata());
  if (!facts) return facts.error();
  auto reader = parquet::arrow::FileReader::Make(arrow::default_memory_pool(), std::move(parquet_reader));
  if (!reader.ok()) return damaged(reader.status().message());
  std::shared_ptr<arrow::Schema> found;
  if (const auto got = (*reader)->GetSchema(&found); !got.ok()) return damaged(got.message());
  if (!found->Equals(*schema(), false)) return damaged("it has other columns: " + found->ToString());
  return std::unique_ptr<FileReader>(std::make_unique<ParquetReader>(std::move(*reader), std::move(facts).value()));
} catch (const parquet::ParquetException& error) {
  return damaged(error.what());
}

Result<std::string> sha256_of(arrow::io::RandomAccessFile& file) {
  constexpr std::int64_t kPiece = 1 << 20;
  const auto size = file.GetSize();
  if (!size.ok()) return failure(size.status(), "reading the file");
  Sha256 digest;
  for (std::int64_t at = 0; at < *size;) {
    const auto piece = file.ReadAt(at, std::min(kPiece, *size - at));
    if (!piece.ok()) return failure(piece.status(), "reading the file");
    if ((*piece)->size() == 0) return Error{ErrorKind::kUnavailable, "the file became shorter while it was read"};
    digest.add({reinterpret_cast<const char*>((*piece)->data()), static_cast<std::size_t>((*piece)->size())});
    at += (*piece)->size();
  }
  return digest.finish();
}

Result<std::int64_t> bytes_of(arrow::io::RandomAccessFile& file) {
  const auto size = file.GetSize();
  if (!size.ok()) return failure(size.status(), "reading the file");
  return *size;
}

Result<std::shared_ptr<arrow::io::RandomAccessFile>> open_local(const std::string& path) {
  auto file = arrow::io::ReadableFile::Open(path);
  if (!file.ok()) return failure(file.status(), "opening " + path);
  return std::shared_ptr<arrow::io::RandomAccessFile>(*file);
}

}  // namespace millrace::parquet_worker
