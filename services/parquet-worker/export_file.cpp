#include "export_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <unordered_map>

#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <arrow/ipc/writer.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

namespace millrace::parquet_worker {
namespace {

using archive_format::Fields;
using archive_format::FrameType;
using archive_format::Row;
using archive_format::RowBlock;

constexpr std::int64_t kRowGroupRows = 122'880;
/// Of texts and names: a row group with more is ended, however few its rows are.
constexpr std::size_t kRowGroupText = 32U << 20;
constexpr std::size_t kPiece = 256U << 10;
constexpr int kZstdLevel = 3;
constexpr std::array<std::string_view, 5> kTypes{"double", "int", "bool", "string", "json"};

Error failure(const arrow::Status& status) {
  return {ErrorKind::kUnavailable, "writing the export: " + status.message()};
}

const std::shared_ptr<arrow::Schema>& schema() {
  static const auto kSchema = arrow::schema({
      arrow::field("device", arrow::utf8(), false),
      arrow::field("metric", arrow::utf8(), false),
      arrow::field("time", arrow::timestamp(arrow::TimeUnit::MICRO, "UTC"), false),
      arrow::field("type", arrow::utf8(), false),
      arrow::field("value_double", arrow::float64()),
      arrow::field("value_int", arrow::int64()),
      arrow::field("value_bool", arrow::boolean()),
      arrow::field("value_text", arrow::utf8()),
      arrow::field("untimed", arrow::boolean(), false),
  });
  return kSchema;
}

/// What is written goes to the caller in frames of one size, and the rest when it is closed.
class PipeStream final : public arrow::io::OutputStream {
 public:
  explicit PipeStream(Pipe& pipe) : pipe_(pipe) { waiting_.reserve(kPiece); }
  using arrow::io::OutputStream::Write;

  arrow::Status Write(const void* data, std::int64_t size) override {
    std::string_view rest(static_cast<const char*>(data), static_cast<std::size_t>(size));
    written_ += size;
    while (!rest.empty()) {
      const std::string_view some = rest.substr(0, kPiece - waiting_.size());
      waiting_ += some;
      rest.remove_prefix(some.size());
      if (waiting_.size() == kPiece) ARROW_RETURN_NOT_OK(send());
    }
    return {};
  }
  arrow::Status Close() override {
    if (closed_) return {};
    closed_ = true;
    return send();
  }
  [[nodiscard]] bool closed() const override { return closed_; }
  [[nodiscard]] arrow::Result<std::int64_t> Tell() const override { return written_; }

 private:
  arrow::Status send() {
    if (waiting_.empty()) return {};
    const auto sent = pipe_.send(FrameType::kBytes, waiting_);
    waiting_.clear();
    return sent ? arrow::Status() : arrow::Status::IOError(sent.error().message);
  }

  Pipe& pipe_;
  std::string waiting_;
  std::int64_t written_ = 0;
  bool closed_ = false;
};

/// The columns of a block as a record batch.
class ExportBatch {
 public:
  arrow::Status add(const Row& row, const std::string& device, const std::string& metric) {
    ARROW_RETURN_NOT_OK(devices_.Append(device));
    ARROW_RETURN_NOT_OK(metrics_.Append(metric));
    ARROW_RETURN_NOT_OK(times_.Append(row.key.time));
    ARROW_RETURN_NOT_OK(types_.Append(kTypes.at(row.kind)));
    ARROW_RETURN_NOT_OK(row.kind == 0 ? doubles_.Append(row.number) : doubles_.AppendNull());
    ARROW_RETURN_NOT_OK(add_integer(row));
    ARROW_RETURN_NOT_OK(row.kind == 2 ? truths_.Append(row.other == "true") : truths_.AppendNull());
    ARROW_RETURN_NOT_OK(row.kind > 2 ? texts_.Append(row.other) : texts_.AppendNull());
    return untimed_.Append(row.untimed);
  }

  arrow::Result<std::shared_ptr<arrow::RecordBatch>> finish() {
    const std::int64_t rows = devices_.length();
    arrow::ArrayVector columns;
    for (arrow::ArrayBuilder* builder : std::array<arrow::ArrayBuilder*, 9>{
             &devices_, &metrics_, &times_, &types_, &doubles_, &integers_, &truths_, &texts_, &untimed_}) {
      ARROW_ASSIGN_OR_RAISE(auto column, builder->Finish());
      columns.push_back(std::move(column));
    }
    return arrow::RecordBatch::Make(schema(), rows, std::move(columns));
  }

 private:
  arrow::Status add_integer(const Row& row) {
    if (row.kind != 1) return integers_.AppendNull();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(row.other.data(), row.other.data() + row.other.size(), number);
    if (error != std::errc{} || end != row.other.data() + row.other.size())
      return arrow::Status::Invalid("'", row.other, "' is no integer of 64 bits");
    return integers_.Append(number);
  }

  arrow::StringBuilder devices_;
  arrow::StringBuilder metrics_;
  arrow::TimestampBuilder times_{schema()->field(2)->type(), arrow::default_memory_pool()};
  arrow::StringBuilder types_;
  arrow::DoubleBuilder doubles_;
  arrow::Int64Builder integers_;
  arrow::BooleanBuilder truths_;
  arrow::StringBuilder texts_;
  arrow::BooleanBuilder untimed_;
};

/// One of Arrow's writers.
class BatchWriter {
 public:
  virtual ~BatchWriter() = default;
  /// `text`: bytes of its texts and names.
  virtual arrow::Status write(const arrow::RecordBatch& batch, std::size_t text) = 0;
  virtual arrow::Status close() = 0;
};

class ParquetBatches final : public BatchWriter {
 public:
  explicit ParquetBatches(std::unique_ptr<parquet::arrow::FileWriter> writer) : writer_(std::move(writer)) {}

  static arrow::Result<std::unique_ptr<BatchWriter>> open(const std::shared_ptr<arrow::io::OutputStream>& sink) {
    parquet::WriterProperties::Builder builder;
    builder.compression(parquet::Compression::ZSTD)->compression_level(kZstdLevel);
    builder.max_row_group_length(kRowGroupRows)->created_by("millrace parquet-worker");
    builder.disable_dictionary("time")->encoding("time", parquet::Encoding::DELTA_BINARY_PACKED);
    ARROW_ASSIGN_OR_RAISE(
        auto writer, parquet::arrow::FileWriter::Open(*schema(), arrow::default_memory_pool(), sink, builder.build()));
    return std::unique_ptr<BatchWriter>(std::make_unique<ParquetBatches>(std::move(writer)));
  }
  arrow::Status write(const arrow::RecordBatch& batch, std::size_t text) override {
    if (text_ > 0 && text_ + text > kRowGroupText) {
      ARROW_RETURN_NOT_OK(writer_->NewBufferedRowGroup());
      text_ = 0;
    }
    text_ += text;
    return writer_->WriteRecordBatch(batch);
  }
  arrow::Status close() override { return writer_->Close(); }

 private:
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  std::size_t text_ = 0;
};

class StreamBatches final : public BatchWriter {
 public:
  explicit StreamBatches(std::shared_ptr<arrow::ipc::RecordBatchWriter> writer) : writer_(std::move(writer)) {}

  static arrow::Result<std::unique_ptr<BatchWriter>> open(const std::shared_ptr<arrow::io::OutputStream>& sink) {
    ARROW_ASSIGN_OR_RAISE(auto writer, arrow::ipc::MakeStreamWriter(sink, schema()));
    return std::unique_ptr<BatchWriter>(std::make_unique<StreamBatches>(std::move(writer)));
  }
  arrow::Status write(const arrow::RecordBatch& batch, std::size_t /*text*/) override {
    return writer_->WriteRecordBatch(batch);
  }
  arrow::Status close() override { return writer_->Close(); }

 private:
  std::shared_ptr<arrow::ipc::RecordBatchWriter> writer_;
};

using Names = std::unordered_map<std::int32_t, std::string>;

class ArrowExport final : public ExportFile {
 public:
  ArrowExport(std::shared_ptr<PipeStream> sink, std::unique_ptr<BatchWriter> writer)
      : sink_(std::move(sink)), writer_(std::move(writer)) {}

  Status learn(const Fields& names) override {
    for (const auto& [key, name] : names) {
      std::int32_t id = 0;
      const char* end = key.data() + key.size();
      const auto read = key.size() < 2 ? std::from_chars_result{} : std::from_chars(key.data() + 1, end, id);
      if (read.ptr != end || read.ec != std::errc{} || (key[0] != 'd' && key[0] != 'm'))
        return Error{ErrorKind::kInvalid, "'" + key + "' is no key of a device or metric"};
      (key[0] == 'd' ? devices_ : metrics_).insert_or_assign(id, name);
    }
    return {};
  }

  Status add(const RowBlock& block) override try {
    std::size_t text = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
      const Row row = block.at(i);
      const auto device = devices_.find(row.key.device);
      const auto metric = metrics_.find(row.key.metric);
      if (device == devices_.end() || metric == metrics_.end()) {
        return Error{ErrorKind::kInvalid, "device " + std::to_string(row.key.device) + " or metric " +
                                              std::to_string(row.key.metric) + " has no name"};
      }
      const auto added = batch_.add(row, device->second, metric->second);
      if (!added.ok()) return Error{ErrorKind::kInvalid, added.message()};
      text += device->second.size() + metric->second.size() + row.other.size();
    }
    devices_.clear();
    metrics_.clear();
    auto batch = batch_.finish();
    if (!batch.ok()) return failure(batch.status());
    rows_ += (*batch)->num_rows();
    const auto written = writer_->write(**batch, text);
    return written.ok() ? Status{} : Status{failure(written)};
  } catch (const parquet::ParquetException& error) {
    return Error{ErrorKind::kUnavailable, std::string("writing the export: ") + error.what()};
  }

  Result<std::int64_t> finish() override try {
    auto closed = writer_->close();
    if (closed.ok()) closed = sink_->Close();
    if (!closed.ok()) return failure(closed);
    return rows_;
  } catch (const parquet::ParquetException& error) {
    return Error{ErrorKind::kUnavailable, std::string("writing the export: ") + error.what()};
  }

 private:
  std::shared_ptr<PipeStream> sink_;
  std::unique_ptr<BatchWriter> writer_;
  ExportBatch batch_;
  Names devices_;
  Names metrics_;
  std::int64_t rows_ = 0;
};

}  // namespace

Result<std::unique_ptr<ExportFile>> ExportFile::open(std::string_view format, Pipe& pipe) try {
  if (format != "parquet" && format != "arrow")
    return Error{ErrorKind::kInvalid, "'" + std::string(format) + "' is no format of an export: parquet or arrow"};
  auto sink = std::make_shared<PipeStream>(pipe);
  auto writer = format == "parquet" ? ParquetBatches::open(sink) : StreamBatches::open(sink);
  if (!writer.ok()) return failure(writer.status());
  return std::unique_ptr<ExportFile>(std::make_unique<ArrowExport>(std::move(sink), std::move(*writer)));
} catch (const parquet::ParquetException& error) {
  return Error{ErrorKind::kInternal, error.what()};
}

}  // namespace millrace::parquet_worker
