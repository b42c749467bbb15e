#include "import/device_import.hpp"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "import/import_file.hpp"
#include "import/token_file.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Clock = std::chrono::steady_clock;
using Stream = grpc::ClientReaderWriterInterface<api::CreateDeviceRequest, api::ImportDeviceResult>;

constexpr std::size_t kMostPending = 20'000;
constexpr std::chrono::seconds kProgressEvery{2};

std::filesystem::path tokens_path(const ImportArguments& arguments) {
  if (!arguments.tokens.empty()) return arguments.tokens;
  std::filesystem::path path = arguments.file;
  if (path.extension() == ".csv") path.replace_extension();
  return path += ".tokens.csv";
}

/// A line on its way: sent and not answered yet, or at fault by itself.
struct Pending {
  std::size_t line = 0;
  std::string device;
  std::string token;
  std::string fault;
  std::uint64_t position = 0;  // in the file, behind it
};

/// Lines between the thread that sends and the one that reads answers, in the order of the file.
class PendingQueue {
 public:
  /// Waits for room; false: nobody takes any more.
  bool put(Pending pending) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queue_.size() < kMostPending || closed_; });
    if (closed_) return false;
    queue_.push_back(std::move(pending));
    changed_.notify_all();
    return true;
  }
  /// Waits for one; none: all were taken.
  std::optional<Pending> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !queue_.empty() || closed_; });
    if (queue_.empty()) return std::nullopt;
    Pending pending = std::move(queue_.front());
    queue_.pop_front();
    changed_.notify_all();
    return pending;
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Pending> queue_;
  bool closed_ = false;
};

class Import {
 public:
  Import(Session& session, const ImportArguments& arguments)
      : session_(session),
        arguments_(arguments),
        in_(open(arguments.file)),
        file_(in_),
        registry_(session.settings, Target::kRegistry) {
    std::error_code unknown;
    bytes_ = std::filesystem::file_size(arguments.file, unknown);
    if (unknown) bytes_ = 0;
    tokens_ = std::make_unique<TokenFile>(tokens_path(arguments));
    secret_ = std::make_unique<ImportSecret>(tokens_->path());
  }

  void run() {
    grpc::ClientContext context;
    authorize(context, session_.settings);
    const auto stream = registry_.stub().ImportDevices(&context);
    std::jthread sender([&] { send(*stream); });
    bool complete = false;
    try {
      complete = receive(*stream);
      tokens_->sync();
    } catch (...) {
      context.TryCancel();
      pending_.close();
      throw;
    }
    if (!complete) context.TryCancel();
    pending_.close();
    sender.join();
    // What the client itself cancelled after a lost stream is not what ended it.
    const grpc::Status status = stream->Finish();
    conclude(complete, status);
  }

 private:
  static constexpr const char* kSecondTime = "the file names this device a second time";

  static std::ifstream open(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw CommandError("file " + file.string() + " cannot be read: " + std::strerror(errno));
    return in;
  }

  /// A thread of its own.
  void send(Stream& stream) {
    ImportRow row;
    api::CreateDeviceRequest request;
    while (file_.next(row)) {
      if (row.fault.empty()) {
        const DeviceSet::Mark mark = tokens_->devices().mark(row.device);
        if (mark == DeviceSet::Mark::kFirst) {
          ++done_before_;
          continue;
        }
        if (mark == DeviceSet::Mark::kAgain) row.fault = kSecondTime;
      }
      Pending pending{row.line, row.device, {}, row.fault, file_.position()};
      if (row.fault.empty()) pending.token = secret_->token_of(session_.settings.tenant, row.device);
      request.set_tenant(session_.settings.tenant);
      request.set_device(row.device);
      request.set_attributes_json(row.attributes_json);
      request.set_token_sha256(std::string(bytes_of(sha256(pending.token))));
      if (!pending_.put(std::move(pending))) break;
      if (row.fault.empty() && !stream.Write(request)) break;  // the reader learns why from Finish()
    }
    stream.WritesDone();
    pending_.close();
  }

  /// False: the stream ended before every line was answered.
  bool receive(Stream& stream) {
    api::ImportDeviceResult result;
    while (const auto pending = pending_.take()) {
      if (!pending->fault.empty()) {
        refuse(*pending, pending->fault);
      } else if (stream.Read(&result)) {
        account(*pending, result);
      } else {
        return false;
      }
      position_ = pending->position;
      tell_progress();
    }
    return true;
  }

  void account(const Pending& pending, const api::ImportDeviceResult& result) {
    if (result.error_code() == 0) {
      // It is there with our token: an earlier run that used the secret may have made it, else this one has.
      const bool second = secret_->taken_up() ? !made_.insert(pending.device) : result.existed();
      if (second) return refuse(pending, kSecondTime);
      tokens_->add(pending.device, pending.token);
      ++created_;
    } else if (result.error_code() == static_cast<int>(grpc::StatusCode::ALREADY_EXISTS) &&
               arguments_.existing == ExistingDevices::kSkip) {
      if (!passed_over_.insert(pending.device)) return refuse(pending, kSecondTime);
      ++skipped_;
    } else {
      refuse(pending, result.error());
    }
  }

  void refuse(const Pending& pending, const std::string& why) {
    ++refused_;
    session_.err() << "line " << pending.line << ": "
                   << (pending.device.empty() ? "" : printable(pending.device) + ": ") << why << '\n';
  }

  [[nodiscard]] double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

  /// What a second of this call creates; nothing where it created none or was too short to tell.
  [[nodiscard]] std::string rate() const {
    constexpr double kShortest = 1;
    const double took = seconds();
    if (created_ == 0 || took < kShortest) return {};
    return std::to_string(std::llround(static_cast<double>(created_) / took)) + " devices/s";
  }

  void tell_progress() {
    if (Clock::now() < next_progress_) return;
    next_progress_ = Clock::now() + kProgressEvery;
    tokens_->flush();
    session_.err() << "created " << created_;
    if (const std::string speed = rate(); !speed.empty()) session_.err() << ", " << speed;
    if (bytes_ > 0) session_.err() << ", " << position_ * 100 / bytes_ << " % of the file";
    if (refused_ > 0) session_.err() << ", refused " << refused_;
    session_.err() << std::endl;
  }

  void conclude(bool complete, const grpc::Status& status) {
    std::ostringstream took;
    took.precision(1);
    took << std::fixed << seconds();
    session_.out() << "created " << created_ << ", already there " << done_before_ + skipped_ << ", refused "
                   << refused_ << " in " << took.str() << " s";
    if (const std::string speed = rate(); !speed.empty()) session_.out() << " (" << speed << ')';
    session_.out() << "; tokens in " << tokens_->path().string() << '\n';
    if (!complete) {
      session_.err() << "millrace: the stream ended early; the same call goes on where this one ended\n";
      registry_.fail(status);
    }
    // Whatever was sent has its answer and, where it was made, its line: the next run needs no secret of this one.
    secret_->remove();
    if (created_ + done_before_ + skipped_ + refused_ == 0)
      throw CommandError("file " + arguments_.file.string() + " names no device");
    if (refused_ > 0) {
      throw CommandError(std::to_string(refused_) + " lines were refused",
                         "correct them and make the same call again (what is done is passed over); --skip-existing is "
                         "for devices that others have made");
    }
  }

  Session& session_;
  const ImportArguments& arguments_;
  std::ifstream in_;
  ImportFile file_;  // the sender's, once it runs
  std::uintmax_t bytes_ = 0;
  Client<api::RegistryService> registry_;
  std::unique_ptr<TokenFile> tokens_;
  std::unique_ptr<ImportSecret> secret_;
  DeviceSet made_;               // in this run, where it has taken up the secret of another
  DeviceSet passed_over_;        // others' devices
  std::size_t done_before_ = 0;  // the sender's, until it has ended
  PendingQueue pending_;
  std::uint64_t created_ = 0;
  std::uint64_t skipped_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t position_ = 0;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point next_progress_ = begun_ + kProgressEvery;
};

}  // namespace

void import_devices(Session& session, const ImportArguments& arguments) { Import(session, arguments).run(); }

}  // namespace millrace::cli
