#include <cstdio>

#include <httplib.h>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::runtime {
namespace {

// Shorter than the time-out of any engine that calls this, so that its log shows the reason.
constexpr int kTimeoutSeconds = 2;

std::string reachable(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  if (host == "::") return "::1";
  return host;
}

}  // namespace

Readiness ask_readiness(const Address& ops) {
  httplib::Client client(reachable(ops.host), ops.port);
  client.set_connection_timeout(kTimeoutSeconds);
  client.set_read_timeout(kTimeoutSeconds);
  const auto answer = client.Get("/readyz");
  if (!answer) return {false, "no answer from " + ops.to_string() + ": " + httplib::to_string(answer.error())};
  return {answer->status == 200, answer->body};
}

int healthcheck(const Address& ops) {
  const Readiness readiness = ask_readiness(ops);
  std::fprintf(readiness.ready ? stdout : stderr, "%s\n", readiness.answer.c_str());
  return readiness.ready ? 0 : 1;
}

}  // namespace millrace::runtime
