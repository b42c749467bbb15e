#include "notifier_fixture.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include <fcntl.h>
#include <httplib.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>
#include <millrace/kafka/admin.hpp>

#include "kafka_log.hpp"
#include "log/progress_store.hpp"
#include "millrace/alerts/v1/alert.pb.h"
#include "millrace/registry/v1/entry.pb.h"

namespace millrace::notifier::testing {
namespace {

constexpr std::size_t kThreads = 64;

// The program's own ops port must be known before it starts: one that the kernel has just given and taken back.
int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, size) != 0 || ::getsockname(fd, generic, &size) != 0) std::abort();
  ::close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

Receiver::Receiver() : server_(std::make_unique<httplib::Server>()) {
  server_->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server_->Post(R"(/hook/(.+))", [this](const httplib::Request& request, httplib::Response& response) {
    Seen seen{request.matches[1], request.get_header_value("Idempotency-Key"), request.body, {}, 0};
    for (const auto& [name, value] : request.headers) seen.headers[name] = value;
    response.status = handle(std::move(seen));
    if (response.status == kRedirect) response.set_header("Location", "/hook/elsewhere");
  });
  port_ = server_->bind_to_any_port("127.0.0.1");
  thread_ = std::thread([this] { server_->listen_after_bind(); });
}

Receiver::~Receiver() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  server_->stop();
  thread_.join();
}

std::string Receiver::url(const std::string& tenant) const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/hook/" + tenant;
}

int Receiver::handle(Seen request) {
  std::unique_lock lock(mutex_);
  const std::string tenant = request.tenant;
  const std::string key = request.key;
  const std::size_t place = seen_.size();
  seen_.push_back(std::move(request));
  const auto hangs = [&] { return answers_.contains(tenant) && answers_.at(tenant) == kHang && !closing_; };
  ++hanging_[tenant];
  changed_.wait(lock, [&] { return !hangs(); });
  --hanging_[tenant];
  const int status = answers_.contains(tenant) && answers_.at(tenant) != kHang ? answers_.at(tenant) : 200;
  seen_[place].answered = status;
  if (status >= 200 && status < 300) delivered_.emplace_back(tenant, key);
  return status;
}

void Receiver::answer(const std::string& tenant, int status) {
  const std::scoped_lock lock(mutex_);
  answers_[tenant] = status;
  changed_.notify_all();
}

std::vector<Seen> Receiver::seen(const std::string& tenant) const {
  const std::scoped_lock lock(mutex_);
  std::vector<Seen> found;
  for (const Seen& one : seen_) {
    if (one.tenant == tenant) found.push_back(one);
  }
  return found;
}

std::vector<std::string> Receiver::delivered(const std::string& tenant) const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [who, key] : delivered_) {
    if (who == tenant) keys.push_back(key);
  }
  return keys;
}

std::size_t Receiver::hanging(const std::string& tenant) const {
  const std::scoped_lock lock(mutex_);
  const auto found = hanging_.find(tenant);
  return found == hanging_.end() ? 0 : found->second;
}

Process::Process(std::map<std::string, std::string> environment, std::string log_file) {
  const std::string program = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "notifier").string();
  std::vector<std::string> lines;
  for (const auto& [name, value] : environment) lines.push_back("MILLRACE_NOTIFIER_" + name + "=" + value);
  for (const char* name : {"ASAN_OPTIONS", "LD_PRELOAD", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) lines.push_back(std::string(name) + "=" + value);
  }
  std::vector<char*> pointers;
  for (std::string& line : lines) pointers.push_back(line.data());
  pointers.push_back(nullptr);
  std::string path = program;
  char* arguments[] = {path.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int code = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, pointers.data());
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(code, 0) << program << " cannot be started";
}

Process::~Process() { kill(); }

std::optional<int> Process::reap(int options) {
  int status = 0;
  if (pid_ <= 0 || ::waitpid(pid_, &status, options) != pid_) return std::nullopt;
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Process::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  static_cast<void>(reap(0));
}

int Process::terminate() {
  if (pid_ <= 0) return -1;
  ::kill(pid_, SIGTERM);
  std::optional<int> code;
  static_cast<void>(eventually([&] { return (code = reap(WNOHANG)).has_value(); }));
  return code.value_or(-1);
}

void NotifierTest::SetUp() {
  const char* bootstrap = std::getenv("MILLRACE_TEST_KAFKA");
  if (bootstrap == nullptr) {
    ASSERT_EQ(std::getenv("MILLRACE_TEST_REQUIRE"), nullptr) << "MILLRACE_TEST_KAFKA is not set";
    GTEST_SKIP() << "MILLRACE_TEST_KAFKA is not set";
  }
  settings_ = {bootstrap, "notifier-test"};
  name_ = "nf-" + random_token(6);
  topics_.prefix = name_ + ".";
  kafka::Admin admin(settings_);
  const auto created = admin.create_missing(kafka::wanted_topics(topics_, {kPartitions, 1}), std::chrono::seconds(60));
  ASSERT_TRUE(created.ok()) << created.error().message;
  producer_ = std::make_unique<kafka::SyncProducer>(settings_, std::chrono::seconds(60));
  log_file_ = (std::filesystem::temp_directory_path() / (name_ + ".log")).string();
}

void NotifierTest::TearDown() {
  process_.reset();
  if (HasFailure()) {
    std::ifstream log(log_file_);
    std::cerr << "== log of the notifier\n" << log.rdbuf() << "\n";
  }
  std::filesystem::remove(log_file_);
}

void NotifierTest::produce(kafka::OutgoingRecord record) {
  const auto sent = producer_->send_one(record);
  ASSERT_TRUE(sent.ok()) << sent.error().message;
}

void NotifierTest::set_webhook(const std::string& tenant, const std::string& url) {
  registry::v1::Entry entry;
  entry.mutable_webhook()->set_tenant(tenant);
  entry.mutable_webhook()->set_url(url);
  entry.mutable_webhook()->set_secret("secret of " + tenant);
  produce({.topic = topics_.registry(), .key = "webhook/" + tenant, .value = entry.SerializeAsString()});
}

void NotifierTest::delete_webhook(const std::string& tenant) {
  produce({.topic = topics_.registry(), .key = "webhook/" + tenant, .value = std::nullopt});
}

std::unique_ptr<Process> NotifierTest::start(Settings settings) {
  if (ops_port_ == 0) ops_port_ = free_port();
  settings.merge(Settings{{"OPS_ADDR", "127.0.0.1:" + std::to_string(ops_port_)},
                          {"KAFKA_BOOTSTRAP", settings_.bootstrap},
                          {"KAFKA_TOPIC_PREFIX", topics_.prefix},
                          {"KAFKA_GROUP", name_},
                          {"KAFKA_INSTANCE", name_},  // a killed member's partitions come back to it at once
                          {"ALLOW_PRIVATE_ADDRESSES", "true"},
                          {"RETRY_FIRST_MS", "20"},
                          {"RETRY_MOST_MS", "200"},
                          {"PROGRESS_INTERVAL_MS", "20"},
                          {"LOG_LEVEL", "debug"}});
  return std::make_unique<Process>(std::move(settings), log_file_);
}

std::string NotifierTest::publish(const std::string& tenant, const std::string& device, std::int64_t number) {
  alerts::v1::Alert alert;
  alert.set_alert_key(tenant + "/rule/" + device + "/metric");
  const Sha256 digest = sha256(alert.alert_key() + std::to_string((number - 1) / 2));
  alert.set_alert_id(to_hex(bytes_of(digest).substr(0, 16)));
  alert.set_event_number(number);
  alert.set_state(number % 2 == 1 ? alerts::v1::STATE_RAISED : alerts::v1::STATE_CLEARED);
  alert.set_tenant(tenant);
  alert.set_device(device);
  alert.set_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  produce({.topic = topics_.alerts(),
           .partition = partition_of(record_key(tenant, device), kPartitions),
           .key = alert.alert_key(),
           .value = alert.SerializeAsString()});
  return alert.alert_id() + "-" + std::to_string(number);
}

std::int64_t NotifierTest::kept_position() const {
  std::map<std::string, std::int64_t> newest;
  for (const auto& entry : millrace::testing::read_log(settings_, topics_.notifier_progress(), 1)) {
    const auto saved = decode_progress(entry.value);
    EXPECT_TRUE(saved.ok());
    if (saved.ok()) newest[entry.key] = saved->next_offset;
  }
  std::int64_t sum = 0;
  for (const auto& [key, position] : newest) sum += position;
  return sum;
}

double NotifierTest::metric(const std::string& series) const {
  httplib::Client client("127.0.0.1", ops_port_);
  const auto answer = client.Get("/metrics");
  if (!answer) return 0;
  std::istringstream text(answer->body);
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
  }
  return 0;
}

}  // namespace millrace::notifier::testing
