#include "front/http_front.hpp"

#include <array>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <millrace/http/server.hpp>
#include <millrace/rpc/call.hpp>
#include <millrace/tls/certificate_watch.hpp>
#include <millrace/tls/server_context.hpp>

#include "front/cors.hpp"
#include "front/web_call.hpp"
#include "millrace/query/v1/query.pb.h"

namespace millrace::query_api {
namespace {

namespace asio = boost::asio;
using google::protobuf::MethodDescriptor;

/// A body of the greatest size for each of them is what requests may occupy.
constexpr std::size_t kMostConnections = 1'000;

/// One call from its request to its answer.
struct WebCall {
  WebCall(WebForm form_of_call, const MethodDescriptor& called, http::Responder to, std::string from)
      : form(form_of_call), method(called), responder(std::move(to)), origin(std::move(from)) {}

  WebForm form;
  const MethodDescriptor& method;
  http::Responder responder;
  std::string origin;
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
};

const google::protobuf::ServiceDescriptor& service() {
  static const auto* const kService = query::v1::LatestRequest::descriptor()->file()->FindServiceByName("QueryService");
  return *kService;
}

/// Of `/millrace.query.v1.QueryService/Latest`; null: there is none.
const MethodDescriptor* method_of(std::string_view path) {
  const std::string prefix = "/" + service().full_name() + "/";
  if (!path.starts_with(prefix)) return nullptr;
  return service().FindMethodByName(std::string(path.substr(prefix.size())));
}

grpc::ByteBuffer buffer_of(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string bytes_of(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace

struct HttpFront::Impl {
  Impl(const FrontOptions& options, std::shared_ptr<grpc::Channel> channel, observability::Metrics& metrics)
      : cors(options.cors_origins),
        stub(std::move(channel)),
        answers(metrics.counter("millrace_query_http_answers_total", "Answers over HTTP, refusals included.")),
        refused(metrics.counter("millrace_query_http_refused_total",
                                "Requests over HTTP that were none: malformed, too long or too late.")) {}
  ~Impl();

  void handle(const http::Request& request, const http::Responder& responder);
  void call(const http::Request& request, WebForm form, const MethodDescriptor& method,
            const http::Responder& responder);
  void send(const http::Responder& responder, std::string_view origin, http::Response response) const;

  const Cors cors;
  grpc::GenericStub stub;
  observability::Counter answers;
  observability::Counter refused;
  std::mutex mutex;
  std::condition_variable idle;
  std::size_t running = 0;  // calls that the service has not answered
  std::shared_ptr<tls::ServerContext> tls;
  std::unique_ptr<tls::CertificateWatch> certificates;
  asio::io_context context;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::unique_ptr<http::Server> server;
  std::jthread thread;
};

HttpFront::Impl::~Impl() {
  {
    // Their answers come here.
    std::unique_lock lock(mutex);
    idle.wait(lock, [this] { return running == 0; });
  }
  if (server) server->close();
  work.reset();
  context.stop();
  if (thread.joinable()) thread.join();
  if (certificates) certificates->stop();
}

void HttpFront::Impl::send(const http::Responder& responder, std::string_view origin, http::Response response) const {
  if (!origin.empty()) cors.allow(origin, response);
  responder.send(std::move(response));
}

void HttpFront::Impl::handle(const http::Request& request, const http::Responder& responder) {
  const std::string origin(request.header("origin").value_or(""));
  const auto refuse = [&](int status, std::string_view type, std::string_view title, const std::string& detail) {
    send(responder, origin, http::problem(status, type, title, detail));
  };
  const MethodDescriptor* method = method_of(request.path());
  if (method == nullptr) {
    return refuse(404, "/problems/not-found", "no such call",
                  "calls are POST /" + service().full_name() + "/<Method>; docs/api.md lists the methods");
  }
  if (request.method() == http::Method::kOptions && !origin.empty()) return responder.send(cors.preflight(origin));
  if (request.method() != http::Method::kPost) {
    auto response = http::problem(405, "/problems/method-not-allowed", "only POST", "calls are POST requests");
    response.headers.emplace_back("Allow", "POST, OPTIONS");
    return send(responder, origin, std::move(response));
  }
  const auto form = form_of(request.header("content-type").value_or(""));
  if (!form) {
    auto response = http::problem(415, "/problems/unsupported-media-type", "unknown form of the call",
                                  "send application/json or application/proto (Connect), or application/grpc-web");
    response.headers.emplace_back("Accept-Post", "application/json, application/proto, application/grpc-web+proto");
    return send(responder, origin, std::move(response));
  }
  if (method->server_streaming() || method->client_streaming()) {
    return send(responder, origin,
                failure(*form, {grpc::StatusCode::UNIMPLEMENTED,
                                method->name() + " answers with a stream, which comes over gRPC only"}));
  }
  call(request, *form, *method, responder);
}

void HttpFront::Impl::call(const http::Request& request, WebForm form, const MethodDescriptor& method,
                           const http::Responder& responder) {
  const std::string origin(request.header("origin").value_or(""));
  const auto refuse = [&](const Error& error) {
    send(responder, origin, failure(form, rpc::to_grpc_status(Status{error})));
  };
  const auto timeout = timeout_of(form, request);
  if (!timeout.ok()) return refuse(timeout.error());
  const auto message = message_in(form, request.body(), method);
  if (!message.ok()) return refuse(message.error());
  // Held by the completion alone.
  auto call = std::make_shared<WebCall>(form, method, responder, origin);
  if (const auto key = request.header("authorization")) call->context.AddMetadata("authorization", std::string(*key));
  if (timeout.value()) call->context.set_deadline(std::chrono::system_clock::now() + *timeout.value());
  call->request = buffer_of(message.value());
  const std::string path(request.path());
  {
    const std::lock_guard lock(mutex);
    ++running;
  }
  stub.UnaryCall(
      &call->context, path, grpc::StubOptions{}, &call->request, &call->response,
      [this, call](const grpc::Status& status) {
        send(call->responder, call->origin,
             status.ok() ? answer(call->form, bytes_of(call->response), call->method) : failure(call->form, status));
        const std::lock_guard lock(mutex);
        if (--running == 0) idle.notify_all();
      });
}

HttpFront::HttpFront(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpFront::~HttpFront() = default;

Result<std::unique_ptr<HttpFront>> HttpFront::start(const FrontOptions& options, std::shared_ptr<grpc::Channel> channel,
                                                    observability::Metrics& metrics) {
  auto impl = std::make_unique<Impl>(options, std::move(channel), metrics);
  Impl* const front = impl.get();
  http::ServerSettings settings;
  settings.address = options.listen;
  settings.max_body_bytes = options.body_bytes;
  settings.max_connections = kMostConnections;
  settings.max_pipelined = 1;
  if (!options.certificate_file.empty()) {
    auto tls = tls::ServerContext::create({{{options.certificate_file, options.key_file}}, {"http/1.1"}});
    if (!tls.ok()) return tls.error();
    settings.tls = impl->tls = std::move(*tls);
    impl->certificates =
        std::make_unique<tls::CertificateWatch>(std::vector<std::shared_ptr<tls::ServerContext>>{impl->tls}, metrics);
    impl->certificates->start();
  }
  http::Observer observer;
  observer.answered = [front](int, std::chrono::nanoseconds) { front->answers.add(); };
  observer.refused = [front](std::string_view) { front->refused.add(); };
  const std::array<asio::io_context*, 1> contexts{&impl->context};
  auto server = http::Server::start(
      settings, contexts,
      [front](const http::Request& request, const http::Responder& responder) { front->handle(request, responder); },
      std::move(observer));
  if (!server.ok()) return server.error();
  impl->server = std::move(*server);
  impl->work.emplace(impl->context.get_executor());
  impl->thread = std::jthread([front] { front->context.run(); });
  return std::unique_ptr<HttpFront>(new HttpFront(std::move(impl)));
}

const Address& HttpFront::address() const { return impl_->server->address(); }

void HttpFront::stop_intake() { impl_->server->stop_intake(); }

}  // namespace millrace::query_api
