#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <millrace/archive/worker_call.hpp>

namespace millrace::archive {

using archive_format::Fields;
using archive_format::Frame;
using archive_format::FrameType;

namespace {

constexpr std::array kInherited{"PATH",       "LANG",        "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy",
                                "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",   "no_proxy",     "NO_PROXY"};

constexpr std::int64_t kLookMs = 100;

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      value_ = std::exchange(other.value_, -1);
    }
    return *this;
  }
  ~Descriptor() { close(); }
  [[nodiscard]] int get() const { return value_; }
  void close() {
    if (value_ >= 0) ::close(value_);
    value_ = -1;
  }

 private:
  int value_ = -1;
};

struct Ends {
  Descriptor read;
  Descriptor write;
};

Result<Ends> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return Error{ErrorKind::kUnavailable, std::string("no pipe for parquet-worker: ") + std::strerror(errno)};
  return Ends{Descriptor(ends[0]), Descriptor(ends[1])};
}

std::vector<std::string> child_environment() {
  // Without it the S3 client would ask a cloud's metadata service for credentials it was given.
  std::vector<std::string> environment{"AWS_EC2_METADATA_DISABLED=true", "TZ=UTC"};
  for (const char* name : kInherited) {
    if (const char* value = std::getenv(name)) environment.push_back(std::string(name) + "=" + value);  // NOLINT
  }
  return environment;
}

Result<pid_t> spawn(const std::string& program, int in, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // The services block signals that must end the worker.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<std::string> environment = child_environment();
  std::vector<char*> pointers;
  for (std::string& one : environment) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  std::string name = program;
  std::array<char*, 2> arguments{name.data(), nullptr};
  pid_t child = -1;
  const int failed = posix_spawn(&child, program.c_str(), &actions, &attributes, arguments.data(), pointers.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) {
    return Error{ErrorKind::kUnavailable, "parquet-worker cannot be started as " + program + " (" +
                                              std::strerror(failed) +
                                              "): this installation has no archive, or ARCHIVE_WORKER is wrong"};
  }
  return child;
}

ErrorKind kind_of(const Fields& fields) {
  const auto number = archive_format::integer_of(fields, "kind").value_or(-1);
  if (number < 0 || number > static_cast<std::int64_t>(ErrorKind::kInternal)) return ErrorKind::kInternal;
  return static_cast<ErrorKind>(number);
}

}  // namespace

struct WorkerCall::Impl {
  pid_t child = -1;
  Descriptor to;
  Descriptor from;
  Clock::time_point deadline;
  archive_format::FrameReader reader;
  std::vector<char> piece = std::vector<char>(256 << 10);
  std::string out;
  std::function<bool()> interrupt;
  bool deaf = false;  // the child closed its end: its answer says why

  ~Impl() {
    to.close();
    from.close();
    if (child < 0) return;
    // A worker that answered ends by itself at once; any other must not be waited for.
    ::kill(child, SIGKILL);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  Status wait(int descriptor, short events) const {
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return Error{ErrorKind::kUnavailable, "parquet-worker did not end by the deadline"};
      if (interrupt && interrupt()) return Error{ErrorKind::kUnavailable, "the call was given up: this program ends"};
      pollfd one{descriptor, events, 0};
      const int ready = ::poll(&one, 1, static_cast<int>(std::min<std::int64_t>(left.count(), kLookMs)));
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR)
        return Error{ErrorKind::kInternal, std::string("waiting for parquet-worker: ") + std::strerror(errno)};
    }
  }

  Status write(FrameType type, std::string_view payload) {
    if (deaf) return {};
    out.clear();
    archive_format::append_frame(out, type, payload);
    std::string_view rest = out;
    while (!rest.empty()) {
      if (auto ready = wait(to.get(), POLLOUT); !ready) return ready;
      const ssize_t done = ::write(to.get(), rest.data(), rest.size());
      if (done >= 0) {
        rest.remove_prefix(static_cast<std::size_t>(done));
      } else if (errno == EPIPE) {
        deaf = true;
        return {};
      } else if (errno != EINTR && errno != EAGAIN) {
        return Error{ErrorKind::kUnavailable, std::string("writing to parquet-worker: ") + std::strerror(errno)};
      }
    }
    return {};
  }
};

WorkerCall::WorkerCall(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WorkerCall::~WorkerCall() = default;

Result<std::unique_ptr<WorkerCall>> WorkerCall::start(const std::string& program, const Fields& request,
                                                      Clock::time_point deadline) {
  auto input = make_pipe();
  if (!input) return input.error();
  auto output = make_pipe();
  if (!output) return output.error();
  const auto child = spawn(program, input->read.get(), output->write.get());
  if (!child) return child.error();
  auto impl = std::make_unique<Impl>();
  impl->child = *child;
  impl->to = std::move(input->write);
  impl->from = std::move(output->read);
  impl->deadline = deadline;
  for (const int mine : {impl->to.get(), impl->from.get()}) ::fcntl(mine, F_SETFL, O_NONBLOCK);
  if (auto sent = impl->write(FrameType::kRequest, archive_format::encode_fields(request)); !sent) return sent.error();
  return std::unique_ptr<WorkerCall>(new WorkerCall(std::move(impl)));
}

void WorkerCall::set_interrupt(std::function<bool()> interrupt) { impl_->interrupt = std::move(interrupt); }

void WorkerCall::set_deadline(Clock::time_point deadline) { impl_->deadline = deadline; }

Status WorkerCall::send(const archive_format::RowBlock& block) {
  return impl_->write(FrameType::kRows, block.encode());
}

Status WorkerCall::send_item(const Fields& fields) {
  return impl_->write(FrameType::kItem, archive_format::encode_fields(fields));
}

Status WorkerCall::end_rows() { return impl_->write(FrameType::kDone, archive_format::encode_fields({})); }

Result<Frame> WorkerCall::receive() {
  for (;;) {
    auto frame = impl_->reader.next();
    if (!frame) return frame.error();
    if (*frame) {
      if ((*frame)->type != FrameType::kError) return **frame;
      const auto fields = archive_format::decode_fields((*frame)->payload);
      if (!fields) return fields.error();
      return Error{kind_of(*fields), std::string(archive_format::text_of(*fields, "message"))};
    }
    if (auto ready = impl_->wait(impl_->from.get(), POLLIN); !ready) return ready.error();
    const ssize_t got = ::read(impl_->from.get(), impl_->piece.data(), impl_->piece.size());
    if (got > 0) {
      impl_->reader.add({impl_->piece.data(), static_cast<std::size_t>(got)});
    } else if (got == 0) {
      return Error{ErrorKind::kUnavailable, "parquet-worker ended without an answer; its last words are on stderr"};
    } else if (errno != EINTR && errno != EAGAIN) {
      return Error{ErrorKind::kUnavailable, std::string("reading from parquet-worker: ") + std::strerror(errno)};
    }
  }
}

Result<Fields> WorkerCall::finish() {
  for (;;) {
    const auto frame = receive();
    if (!frame) return frame.error();
    if (frame->type == FrameType::kDone) return archive_format::decode_fields(frame->payload);
  }
}

Result<Fields> call_worker(const std::string& program, const Fields& request, Clock::time_point deadline) {
  auto call = WorkerCall::start(program, request, deadline);
  if (!call) return call.error();
  return (*call)->finish();
}

}  // namespace millrace::archive
