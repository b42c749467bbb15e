// Prints a file that was exported as Parquet or as Arrow's IPC stream as the lines of the CSV export. A program of its
// own: Arrow must not share a process with the tests' OpenSSL.
#include <array>
#include <charconv>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <parquet/arrow/reader.h>

#include <millrace/base/time.hpp>

namespace {

arrow::Result<std::shared_ptr<arrow::Table>> table_of(const std::string& path) {
  ARROW_ASSIGN_OR_RAISE(auto file, arrow::io::ReadableFile::Open(path));
  ARROW_ASSIGN_OR_RAISE(auto begin, file->ReadAt(0, 4));
  ARROW_RETURN_NOT_OK(file->Seek(0));
  if (begin->ToString() == "PAR1") {
    ARROW_ASSIGN_OR_RAISE(auto reader, parquet::arrow::OpenFile(file, arrow::default_memory_pool()));
    return reader->ReadTable();
  }
  ARROW_ASSIGN_OR_RAISE(auto reader, arrow::ipc::RecordBatchStreamReader::Open(file));
  return reader->ToTable();
}

template <class Array>
const Array& column(const arrow::RecordBatch& batch, const char* name) {
  const auto found = batch.GetColumnByName(name);
  return dynamic_cast<const Array&>(*found);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

std::string name_of(std::string_view text) {
  return text.find_first_of(",\"\r\n") == std::string_view::npos ? std::string(text) : quoted(text);
}

template <class Number>
std::string digits(Number number) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr};
}

/// Exactly one of the four values stands in a row.
std::string value_at(const arrow::RecordBatch& batch, std::int64_t row) {
  std::string values;
  const auto& doubles = column<arrow::DoubleArray>(batch, "value_double");
  const auto& integers = column<arrow::Int64Array>(batch, "value_int");
  const auto& truths = column<arrow::BooleanArray>(batch, "value_bool");
  const auto& texts = column<arrow::StringArray>(batch, "value_text");
  if (!doubles.IsNull(row)) values += digits(doubles.Value(row));
  if (!integers.IsNull(row)) values += digits(integers.Value(row));
  if (!truths.IsNull(row)) values += truths.Value(row) ? "true" : "false";
  if (!texts.IsNull(row)) values += quoted(texts.GetView(row));
  return values;
}

void print(const arrow::RecordBatch& batch) {
  const auto& devices = column<arrow::StringArray>(batch, "device");
  const auto& metrics = column<arrow::StringArray>(batch, "metric");
  const auto& times = column<arrow::TimestampArray>(batch, "time");
  const auto& types = column<arrow::StringArray>(batch, "type");
  const auto& untimed = column<arrow::BooleanArray>(batch, "untimed");
  for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
    std::cout << name_of(devices.GetView(row)) << ',' << name_of(metrics.GetView(row)) << ','
              << millrace::format_rfc3339(times.Value(row)) << ',' << types.GetView(row) << ',' << value_at(batch, row)
              << (untimed.Value(row) ? ",true\r\n" : ",\r\n");
  }
}

arrow::Status print_file(const std::string& path) {
  ARROW_ASSIGN_OR_RAISE(const auto table, table_of(path));
  const auto time = table->schema()->GetFieldByName("time");
  if (!time || !time->type()->Equals(arrow::timestamp(arrow::TimeUnit::MICRO, "UTC")))
    return arrow::Status::Invalid("the time is no timestamp in microseconds, UTC");
  std::cout << "device,metric,time,type,value,untimed\r\n";
  arrow::TableBatchReader batches(*table);
  for (;;) {
    ARROW_ASSIGN_OR_RAISE(const auto batch, batches.Next());
    if (!batch) return arrow::Status();
    print(*batch);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const auto printed = argc == 2 ? print_file(argv[1]) : arrow::Status::Invalid("one file is wanted");
  if (!printed.ok()) std::fprintf(stderr, "export_lines: %s\n", printed.ToString().c_str());
  return printed.ok() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "export_lines: %s\n", error.what());
  return 1;
}
