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
#include "front/web_stream.hpp"
#include "millrace/query/v1/query.pb.h"

namespace millrace::query_api {
namespace {

namespace asio = boost::asio;
using google::protobuf::MethodDescriptor;

/// A body of the greatest size for each of them is what requests may occupy.
constexpr std::size_t kMostConnections = 1'000;

using Timeout = std::optional<std::chrono::milliseconds>;

/// One call from its request to its one answer.
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
  void stream(const http::Request& request, WebForm form, const MethodDescriptor& method,
              const http::Responder& responder, std::string message, const Timeout& timeout);
  void refuse_form(const MethodDescriptor& method, std::string_view origin, const http::Responder& responder) const;
  void ended(std::size_t& count);
  void send(const http::Responder& responder, std::string_view origin, http::Response response) const;

  const Cors cors;
  grpc::GenericStub stub;
  observability::Counter answers;
  observability::Counter refused;
  std::mutex mutex;
  std::condition_variable idle;
  std::size_t running = 0;  // calls with one answer that the service has not given
  std::size_t streams = 0;  // calls with a stream of them that have not ended
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
  // Streams whose clients take nothing end with their connections.
  if (server) server->close();
  {
    std::unique_lock lock(mutex);
    idle.wait(lock, [this] { return streams == 0; });
  }
  work.reset();
  context.stop();
  if (thread.joinable()) thread.join();
  if (certificates) certificates->stop();
}

void HttpFront::Impl::ended(std::size_t& count) {
  const std::lock_guard lock(mutex);
  if (--count == 0) idle.notify_all();
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
  if (!form || !suits(*form, *method)) return refuse_form(*method, origin, responder);
  call(request, *form, *method, responder);
}

void HttpFront::Impl::refuse_form(const MethodDescriptor& method, std::string_view origin,
                                  const http::Responder& responder) const {
  const std::string connect = method.server_streaming() ? "application/connect+json, application/connect+proto"
                                                        : "application/json, application/proto";
  auto response = http::problem(415, "/problems/unsupported-media-type", "unknown form of the call",
                                method.name() + (method.server_streaming() ? " answers with a stream" : "") +
                                    ": send one of " + connect + " (Connect), or application/grpc-web");
  response.headers.emplace_back("Accept-Post",
                                connect + ", application/grpc-web+proto, application/grpc-web-text+proto");
  send(responder, origin, std::move(response));
}

void HttpFront::Impl::call(const http::Request& request, WebForm form, const MethodDescriptor& method,
                           const http::Responder& responder) {
  const std::string origin(request.header("origin").value_or(""));
  const auto refuse = [&](const Error& error) {
    send(responder, origin, failure(form, rpc::to_grpc_status(Status{error})));
  };
  if (auto allowed = check_authorization(request); !allowed.ok()) return refuse(allowed.error());
  const auto timeout = timeout_of(form, request);
  if (!timeout.ok()) return refuse(timeout.error());
  auto message = message_in(form, request.body(), method);
  if (!message.ok()) return refuse(message.error());
  if (method.server_streaming()) {
    return stream(request, form, method, responder, std::move(message).value(), timeout.value());
  }
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
        ended(running);
      });
}

void HttpFront::Impl::stream(const http::Request& request, WebForm form, const MethodDescriptor& method,
                             const http::Responder& responder, std::string message, const Timeout& timeout) {
  http::Response head;
  if (const auto origin = request.header("origin")) cors.allow(*origin, head);
  auto stream = std::make_shared<WebStream>(WebStream::Request{.form = form,
                                                               .method = method,
                                                               .responder = responder,
                                                               .head = std::move(head),
                                                               .path = std::string(request.path()),
                                                               .message = std::move(message),
                                                               .done = [this] { ended(streams); }});
  if (const auto key = request.header("authorization")) {
    stream->context().AddMetadata("authorization", std::string(*key));
  }
  if (timeout) stream->context().set_deadline(std::chrono::system_clock::now() + *timeout);
  {
    const std::lock_guard lock(mutex);
    ++streams;
  }
  stream->start(stub);
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
