#include "s3_server.hpp"

#include <cstdlib>
#include <filesystem>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eventually.hpp"

namespace millrace::archiver {
namespace {

int any_socket(int port, bool connect) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  int result = -1;
  if (connect) {
    result = ::connect(socket, raw, size);
  } else if (::bind(socket, raw, size) == 0 && ::getsockname(socket, raw, &size) == 0) {
    result = ntohs(address.sin_port);
  }
  ::close(socket);
  return result;
}

}  // namespace

std::unique_ptr<S3Server> S3Server::start(const std::string& folder) {
  const char* program = std::getenv("MILLRACE_TEST_VERSITYGW");
  if (program == nullptr) return nullptr;
  const std::string objects = folder + "/s3/" + kBucket;
  std::filesystem::create_directories(objects);
  const int port = any_socket(0, false);
  const std::string address = "127.0.0.1:" + std::to_string(port);
  const std::string root = folder + "/s3";
  const pid_t process = ::fork();
  if (process == 0) {
    const int log = ::open((folder + "/versitygw.log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execl(program, program, "--access", kAccess, "--secret", kSecret, "--port", address.c_str(), "posix",
            root.c_str(), nullptr);
    ::_exit(127);
  }
  auto server = std::unique_ptr<S3Server>(new S3Server(process, port, objects));
  if (!testing::eventually([port] { return any_socket(port, true) == 0; })) return nullptr;
  return server;
}

S3Server::~S3Server() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

}  // namespace millrace::archiver
