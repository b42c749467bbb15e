#include <thread>

#include <httplib.h>

#include <millrace/runtime/ops_server.hpp>

namespace millrace::runtime {
namespace {

// A scrape, two probes and a person: more threads would only hold idle keep-alive connections.
constexpr std::size_t kThreads = 4;

}  // namespace

struct OpsServer::Impl {
  httplib::Server server;
  Address address;
  std::thread thread;
};

OpsServer::OpsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

OpsServer::~OpsServer() {
  impl_->server.stop();
  impl_->thread.join();
}

const Address& OpsServer::address() const { return impl_->address; }

Result<std::unique_ptr<OpsServer>> OpsServer::start(const Address& address, const Health& health,
                                                    const observability::Metrics& metrics) {
  auto impl = std::make_unique<Impl>();
  httplib::Server& server = impl->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_keep_alive_max_count(100);
  server.set_keep_alive_timeout(5);
  server.set_read_timeout(5);
  server.set_write_timeout(5);
  server.set_payload_max_length(1024);
  // The default (SO_REUSEPORT) would let two services share a port without a word.
  server.set_socket_options([](int socket) {
    const int on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  server.Get("/metrics", [&metrics](const httplib::Request&, httplib::Response& response) {
    response.set_content(metrics.expose(), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/livez",
             [](const httplib::Request&, httplib::Response& response) { response.set_content("ok\n", "text/plain"); });
  server.Get("/readyz", [&health](const httplib::Request&, httplib::Response& response) {
    const Health::Report report = health.report();
    response.status = report.ready ? 200 : 503;
    response.set_content(report.json, "application/json");
  });
  const int port = address.port == 0 ? server.bind_to_any_port(address.host) : address.port;
  if (port < 0 || (address.port != 0 && !server.bind_to_port(address.host, address.port))) {
    return Error{ErrorKind::kUnavailable, "cannot listen on " + address.to_string() + " (ops endpoint); is it in use?"};
  }
  impl->address = Address{address.host, static_cast<std::uint16_t>(port)};
  impl->thread = std::thread([&server] { server.listen_after_bind(); });
  // stop() before the accept loop runs would be lost.
  while (!server.is_running()) std::this_thread::yield();
  return std::unique_ptr<OpsServer>(new OpsServer(std::move(impl)));
}

}  // namespace millrace::runtime
