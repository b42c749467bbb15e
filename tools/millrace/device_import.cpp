#include "device_import.hpp"

#include <cerrno>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;

std::string attributes_of(const std::vector<std::string>& names, const std::vector<std::string>& fields) {
  std::string json;
  for (std::size_t i = 1; i < fields.size(); ++i) {
    if (fields[i].empty()) continue;
    json += (json.empty() ? "{" : ",") + json_string(names[i]) + ":" + json_string(fields[i]);
  }
  return json.empty() ? json : json + "}";
}

/// The file that takes the tokens. Owns the descriptor.
class TokenFile {
 public:
  explicit TokenFile(std::filesystem::path path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor_ < 0) {
      throw CommandError("tokens file " + path_.string() + ": " + std::strerror(errno),
                         "it must be new: move the old one away, or name another with --tokens");
    }
    write("device,token\n");
  }
  ~TokenFile() { ::close(descriptor_); }
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;

  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t written = ::write(descriptor_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw CommandError("tokens file " + path_.string() + ": " + std::strerror(errno));
      text.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  void sync() {
    if (::fsync(descriptor_) != 0) throw CommandError("tokens file " + path_.string() + ": " + std::strerror(errno));
  }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

struct Tally {
  std::size_t created = 0;
  std::size_t skipped = 0;
  std::size_t refused = 0;
};

void account(const api::ImportDeviceResult& result, const ImportRow& row, const ImportArguments& arguments,
             Session& session, TokenFile& tokens, Tally& tally) {
  if (result.error_code() == 0) {
    tokens.write(csv_field(result.device()) + ',' + csv_field(result.token()) + '\n');
    ++tally.created;
    return;
  }
  if (result.error_code() == static_cast<int>(grpc::StatusCode::ALREADY_EXISTS) &&
      arguments.existing == ExistingDevices::kSkip) {
    ++tally.skipped;
    return;
  }
  constexpr std::size_t kShown = 20;
  if (++tally.refused <= kShown) {
    session.err() << "line " << row.line << ": " << printable(row.device) << ": " << result.error() << '\n';
  }
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw CommandError("file " + file.string() + " cannot be read: " + std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::filesystem::path tokens_path(const ImportArguments& arguments) {
  if (!arguments.tokens.empty()) return arguments.tokens;
  std::filesystem::path path = arguments.file;
  if (path.extension() == ".csv") path.replace_extension();
  return path += ".tokens.csv";
}

}  // namespace

std::vector<ImportRow> parse_import(std::string_view csv) {
  if (csv.starts_with("\xEF\xBB\xBF")) csv.remove_prefix(3);
  std::vector<ImportRow> rows;
  std::vector<std::string> names;
  std::vector<std::string> fields;
  std::size_t position = 0;
  for (std::size_t line = 1; next_csv_record(csv, position, fields); ++line) {
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (line == 1 && fields[0] == "device") {
      names = fields;
      continue;
    }
    const std::size_t columns = names.empty() ? 1 : names.size();
    if (fields.size() > columns) {
      throw CommandError("line " + std::to_string(line) + " has " + std::to_string(fields.size()) + " fields, not " +
                             std::to_string(columns),
                         "further columns need a first line that names them: device,<attribute>,...");
    }
    rows.push_back({line, fields[0], attributes_of(names, fields)});
  }
  return rows;
}

void import_devices(Session& session, const ImportArguments& arguments) {
  const std::vector<ImportRow> rows = parse_import(read_file(arguments.file));
  if (rows.empty()) throw CommandError("file " + arguments.file.string() + " names no device");
  Client<api::RegistryService> registry(session.settings, Target::kRegistry);
  const std::filesystem::path path = tokens_path(arguments);
  TokenFile tokens(path);
  grpc::ClientContext context;
  authorize(context, session.settings);
  const auto stream = registry.stub().ImportDevices(&context);
  std::jthread writer([&] {
    for (const ImportRow& row : rows) {
      api::CreateDeviceRequest request;
      request.set_tenant(session.settings.tenant);
      request.set_device(row.device);
      request.set_attributes_json(row.attributes_json);
      if (!stream->Write(request)) break;  // the reader learns why from Finish()
    }
    stream->WritesDone();
  });
  Tally tally;
  api::ImportDeviceResult result;
  std::size_t answered = 0;
  try {
    for (; answered < rows.size() && stream->Read(&result); ++answered) {
      account(result, rows[answered], arguments, session, tokens, tally);
    }
    tokens.sync();
  } catch (...) {
    context.TryCancel();
    throw;
  }
  if (answered < rows.size()) context.TryCancel();
  writer.join();
  const grpc::Status status = stream->Finish();
  session.out() << "created " << tally.created << ", already there " << tally.skipped << ", refused " << tally.refused
                << "; tokens in " << path.string() << '\n';
  if (answered < rows.size()) {
    session.err() << "millrace: the stream ended after " << answered << " of " << rows.size()
                  << " devices; the same call with --skip-existing and another --tokens file goes on\n";
    registry.fail(status);
  }
  if (tally.refused > 0) {
    throw CommandError(std::to_string(tally.refused) + " of " + std::to_string(rows.size()) + " devices were refused",
                       "correct these lines and import them alone, or use --skip-existing for devices already there");
  }
}

}  // namespace millrace::cli
