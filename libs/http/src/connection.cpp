#include "connection.hpp"

#include <algorithm>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/rfc7230.hpp>

namespace millrace::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
/// How long the rest of what a refused client sends is read and thrown away, so that our answer is not lost to a reset.
constexpr std::chrono::seconds kLinger{2};
constexpr std::size_t kMostLingeringBytes = 16 * 1024 * 1024;

using Message = bhttp::request<bhttp::string_body>;

Method method_of(bhttp::verb verb) {
  if (verb == bhttp::verb::get) return Method::kGet;
  if (verb == bhttp::verb::head) return Method::kHead;
  if (verb == bhttp::verb::post) return Method::kPost;
  if (verb == bhttp::verb::put) return Method::kPut;
  if (verb == bhttp::verb::delete_) return Method::kDelete;
  if (verb == bhttp::verb::options) return Method::kOptions;
  if (verb == bhttp::verb::patch) return Method::kPatch;
  return Method::kOther;
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }
beast::string_view view(std::string_view text) { return {text.data(), text.size()}; }

class RequestView final : public Request {
 public:
  RequestView(const Message& message, const Address& peer, const std::vector<std::string>& peer_chain)
      : message_(message), peer_(peer), peer_chain_(peer_chain) {
    const std::string_view target = view(message.target());
    const std::size_t mark = target.find('?');
    path_ = target.substr(0, mark);
    if (mark != std::string_view::npos) query_ = target.substr(mark + 1);
  }
  [[nodiscard]] Method method() const override { return method_of(message_.method()); }
  [[nodiscard]] std::string_view path() const override { return path_; }
  [[nodiscard]] std::string_view query() const override { return query_; }
  [[nodiscard]] std::string_view body() const override { return message_.body(); }
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const override {
    const auto found = message_.find(view(name));
    if (found == message_.end()) return std::nullopt;
    return view(found->value());
  }
  [[nodiscard]] std::size_t header_count(std::string_view name) const override { return message_.count(view(name)); }
  [[nodiscard]] const Address& peer() const override { return peer_; }
  [[nodiscard]] const std::vector<std::string>& peer_chain() const override { return peer_chain_; }

 private:
  const Message& message_;
  const Address& peer_;
  const std::vector<std::string>& peer_chain_;
  std::string_view path_;
  std::string_view query_;
};

Response bad_request(std::string_view detail) {
  return problem(400, "/problems/malformed", "the request is malformed", detail);
}

}  // namespace

// Responder

void Responder::send(Response response) const { slot_->send(std::move(response)); }
std::size_t Responder::io_index() const { return slot_->io_index(); }

Responder::Slot::Slot(std::shared_ptr<Connection> connection, std::uint64_t sequence)
    : connection_(std::move(connection)), io_index_(connection_->io_index()), sequence_(sequence) {}

Responder::Slot::~Slot() {
  if (!answered_.load()) send(problem(500, "/problems/internal", "the request was not answered", ""));
}

void Responder::Slot::send(Response response) {
  if (answered_.exchange(true)) return;
  asio::any_io_executor executor = connection_->executor();
  asio::dispatch(executor,
                 [connection = std::move(connection_), sequence = sequence_, response = std::move(response)]() mutable {
                   connection->answer(sequence, std::move(response));
                 });
}

// Connection

Connection::Connection(tls::Opened opened, std::size_t io_index, std::shared_ptr<Shared> shared)
    : stream_(std::move(opened.stream)),
      timer_(stream_.get_executor()),
      io_index_(io_index),
      shared_(std::move(shared)),
      peer_(std::move(opened.peer)),
      stranger_(std::move(opened.stranger)) {
  if (const tls::Session* session = stream_.session()) peer_chain_ = session->peer_chain();
  shared_->connections.fetch_add(1, std::memory_order_relaxed);
  shared_->observer.connections(1);
}

Connection::~Connection() {
  shared_->open[io_index_].erase(this);
  shared_->connections.fetch_sub(1, std::memory_order_relaxed);
  shared_->observer.connections(-1);
}

void Connection::start() {
  shared_->open[io_index_].insert(this);
  enter(Reading::kIdle);
  if (shared_->draining.load()) drain();
  read();
}

void Connection::enter(Reading reading) {
  reading_ = reading;
  reading_since_ = Clock::now();
  arm_timer();
}

void Connection::read() {
  if (read_running_ || ended_) return;
  if (streams()) {
    // Whether the client is still there: what it sends ahead is read once and kept.
    if (input_.size() > 0 || client_ended_) return;
  } else if (reading_ == Reading::kEnded || entries_.size() >= shared_->settings.max_pipelined) {
    return;  // on_written() goes on
  }
  read_running_ = true;
  stream_.async_read_some(input_.prepare(kReadBytes),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t count) {
                            self->read_running_ = false;
                            self->on_read(error, count);
                          });
}

void Connection::on_read(const boost::system::error_code& error, std::size_t count) {
  if (ended_) return;
  if (lingering_) {  // thrown away until the client closes, but not for ever
    lingering_bytes_ += count;
    if (error || lingering_bytes_ > kMostLingeringBytes) return end();
    read_running_ = true;
    stream_.async_read_some(input_.prepare(kReadBytes),
                            [self = shared_from_this()](const boost::system::error_code& e, std::size_t n) {
                              self->read_running_ = false;
                              self->on_read(e, n);
                            });
    return;
  }
  if (error == asio::error::eof) {
    // A client may close its side and still wait for its answers; of one that has no end it wants no more.
    client_ended_ = true;
    if (streams()) return end();
    reading_ = Reading::kEnded;
    close_after_write_ = true;
    if (entries_.empty() && !write_running_) end();
    return;
  }
  if (error) return end();
  input_.commit(count);
  process();
}

void Connection::process() {
  if (processing_) return;
  processing_ = true;
  while (!ended_ && reading_ != Reading::kEnded && entries_.size() < shared_->settings.max_pipelined && parse_some()) {
  }
  processing_ = false;
  write();
  read();
}

// One step: a header, a stretch of body or a whole request. False: more bytes are needed.
bool Connection::parse_some() {
  if (!parser_) {
    if (input_.size() == 0) return false;
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(shared_->settings.max_header_bytes));
    parser_->body_limit(shared_->settings.max_body_bytes);
    parser_->eager(false);
    header_checked_ = false;
    request_started_ = Clock::now();
    enter(Reading::kHeader);
  }
  if (!parser_->is_done()) {
    if (input_.size() == 0) return false;
    boost::system::error_code error;
    const std::size_t used = parser_->put(input_.data(), error);
    if (error == bhttp::error::need_more) {
      input_.consume(used);
      return false;
    }
    if (error) {
      refuse_parse(error);
      return false;
    }
    input_.consume(used);
  }
  if (parser_->is_header_done() && !header_checked_) {
    header_checked_ = true;
    if (std::optional<Response> refusal = check_header()) {
      refuse("header", std::move(*refusal));
      return false;
    }
    on_header();
  }
  if (parser_->is_done()) dispatch();
  return true;
}

std::optional<Response> Connection::check_header() {
  const Message& message = parser_->get();
  if (message.version() != 10 && message.version() != 11) {
    return problem(505, "/problems/version", "this HTTP version is not spoken", "HTTP/1.1 and HTTP/1.0 are");
  }
  // RFC 9112 section 3.2: exactly one Host.
  const std::size_t hosts = message.count(bhttp::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() == 11)) return bad_request("exactly one Host field is expected");
  const std::string_view target = view(message.target());
  if (target.empty() || (target.front() != '/' && target != "*")) return bad_request("the target must be a path");
  if (const auto expect = message.find(bhttp::field::expect); expect != message.end()) {
    if (!beast::iequals(expect->value(), "100-continue")) {
      return problem(417, "/problems/expectation", "this expectation cannot be met", "only 100-continue is known");
    }
  }
  return check_framing();
}

// Where a body ends must be beyond doubt, or a proxy before us and we could see different requests (RFC 9112
// section 11.2).
std::optional<Response> Connection::check_framing() {
  const Message& message = parser_->get();
  const std::size_t codings = message.count(bhttp::field::transfer_encoding);
  const std::size_t lengths = message.count(bhttp::field::content_length);
  if (codings > 0 && lengths > 0) return bad_request("both Content-Length and Transfer-Encoding");
  if (lengths > 1) return bad_request("more than one Content-Length");
  if (codings > 0) {
    if (message.version() == 10) return bad_request("Transfer-Encoding in HTTP/1.0");
    if (codings > 1 || !beast::iequals(message[bhttp::field::transfer_encoding], "chunked")) {
      return problem(501, "/problems/transfer-encoding", "this transfer coding is not implemented", "only chunked is");
    }
    return std::nullopt;
  }
  if (lengths == 0) {
    const Method method = method_of(message.method());
    if (method == Method::kPost || method == Method::kPut || method == Method::kPatch) {
      return problem(411, "/problems/length-required", "a length is required",
                     "send Content-Length or Transfer-Encoding: chunked");
    }
    return std::nullopt;
  }
  const std::string_view said = view(message[bhttp::field::content_length]);
  if (!std::all_of(said.begin(), said.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return bad_request("Content-Length must be one number");
  }
  const auto length = parser_->content_length();
  if (length && *length > shared_->settings.max_body_bytes) {
    return problem(413, "/problems/too-large", "the body is too large",
                   "at most " + std::to_string(shared_->settings.max_body_bytes) + " bytes are taken");
  }
  return std::nullopt;
}

void Connection::on_header() {
  if (parser_->is_done()) return;
  parser_->eager(true);
  enter(Reading::kBody);
  // RFC 9110 section 10.1.1: not to HTTP/1.0, and not when the body is already there.
  if (parser_->get().version() == 11 && parser_->get().count(bhttp::field::expect) > 0 && input_.size() == 0) {
    Entry entry;
    entry.interim = true;
    entry.response.emplace();
    entries_.push_back(std::move(entry));
  }
}

void Connection::dispatch() {
  Message message = parser_->release();
  parser_.reset();
  Entry entry;
  entry.sequence = next_sequence_++;
  entry.started = request_started_;
  entry.is_http10 = message.version() == 10;
  entry.form = message.method() == bhttp::verb::head ? BodyForm::kHeaderOnly : BodyForm::kWhole;
  const bool keep = message.keep_alive() && !shared_->draining.load();
  entry.persistence =
      !keep ? Persistence::kClose : (message.version() == 10 ? Persistence::kKeepAlive10 : Persistence::kKeepAlive);
  const std::uint64_t sequence = entry.sequence;
  entries_.push_back(std::move(entry));
  enter(keep ? Reading::kIdle : Reading::kEnded);
  const RequestView request(message, peer_, peer_chain_);
  shared_->handler(request, Responder(std::make_shared<Responder::Slot>(shared_from_this(), sequence)));
}

// The request cannot be served and what follows it cannot be trusted: answer in its turn, then close.
void Connection::refuse(std::string_view reason, Response response) {
  shared_->observer.refused(reason);
  parser_.reset();
  Entry entry;
  entry.sequence = next_sequence_++;
  entry.started = request_started_;
  entry.persistence = Persistence::kClose;
  entry.response = std::move(response);
  entries_.push_back(std::move(entry));
  enter(Reading::kEnded);
}

void Connection::refuse_parse(const boost::system::error_code& error) {
  const std::size_t limit = shared_->settings.max_header_bytes;
  const auto data = input_.cdata();
  const std::string_view seen(static_cast<const char*>(data.data()), data.size());
  if (error == bhttp::error::header_limit) {
    if (seen.substr(0, limit).find('\n') == std::string_view::npos) {
      return refuse("headers_too_large", problem(414, "/problems/target-too-long", "the target is too long",
                                                 "the whole header may have " + std::to_string(limit) + " bytes"));
    }
    return refuse("headers_too_large", problem(431, "/problems/header-too-large", "the header is too large",
                                               "at most " + std::to_string(limit) + " bytes are taken"));
  }
  if (error == bhttp::error::body_limit) {
    return refuse("body_too_large",
                  problem(413, "/problems/too-large", "the body is too large",
                          "at most " + std::to_string(shared_->settings.max_body_bytes) + " bytes are taken"));
  }
  // A line that ends in a bare LF breaks the parser at the same place; that one is malformed.
  if (error == bhttp::error::bad_version && seen.substr(0, seen.find('\n')).ends_with('\r')) {
    return refuse("malformed",
                  problem(505, "/problems/version", "this HTTP version is not spoken", "HTTP/1.1 and HTTP/1.0 are"));
  }
  refuse("malformed", bad_request(error.message()));
}

void Connection::answer(std::uint64_t sequence, Response response) {
  Entry* entry = entry_of(sequence);
  if (entry == nullptr || entry->response) return;
  entry->response = std::move(response);
  if (!processing_) write();
}

Connection::Entry* Connection::entry_of(std::uint64_t sequence) {
  const auto entry =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.sequence == sequence; });
  return ended_ || entry == entries_.end() ? nullptr : &*entry;
}

// Takes the answers that are ready, in order, and writes them in one go.
void Connection::write() {
  if (ended_) return;
  while (!entries_.empty() && entries_.front().response) {
    Entry& entry = entries_.front();
    if (entry.body) {
      if (!write_piece(entry)) break;
    } else if (entry.interim) {
      output_.append("HTTP/1.1 100 Continue\r\n\r\n");
    } else {
      serialize(*entry.response, entry.persistence, entry.form, output_);
      shared_->observer.answered(entry.response->status, Clock::now() - entry.started);
      if (entry.response->status < 400) stranger_.reset();
    }
    if (!entry.interim && entry.persistence == Persistence::kClose) close_after_write_ = true;
    entries_.pop_front();
  }
  if (write_running_ || output_.empty()) {
    // A body whose end is the connection's may end with nothing left to write.
    if (!write_running_ && entries_.empty() && close_after_write_ && !lingering_) return linger();
    arm_timer();
    return;
  }
  write_running_ = true;
  writing_since_ = Clock::now();
  writing_.swap(output_);
  output_.clear();
  asio::async_write(
      stream_, asio::buffer(writing_),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) { self->on_written(error); });
  arm_timer();
}

void Connection::on_written(const boost::system::error_code& error) {
  write_running_ = false;
  if (ended_) return;
  if (error) return end();
  if (entries_.empty() && output_.empty()) {
    if (close_after_write_) return linger();
    if (reading_ == Reading::kIdle) reading_since_ = Clock::now();
  }
  tell_written();
  write();
  if (!ended_) process();  // there may be room for further requests
}

void Connection::linger() {
  if (stream_.shutdown_send()) return end();
  lingering_ = true;
  reading_ = Reading::kEnded;
  reading_since_ = Clock::now();
  input_.clear();
  if (!read_running_) on_read({}, 0);
  arm_timer();
}

void Connection::drain() {
  if (ended_) return;
  // A request that has begun to come is still served; dispatch() makes its answer the last one.
  if (reading_ != Reading::kIdle) return;
  if (entries_.empty() && !write_running_) return end();
  reading_ = Reading::kEnded;
  close_after_write_ = true;
  if (!entries_.empty()) entries_.back().persistence = Persistence::kClose;
}

void Connection::abort() { end(); }

void Connection::end() {
  if (ended_) return;
  ended_ = true;
  const std::deque<Entry> left = std::move(entries_);
  entries_.clear();
  timer_.cancel();
  stream_.close();
  for (const Entry& entry : left) {
    if (entry.body) entry.body->events.gone();
  }
}

std::optional<Connection::Clock::time_point> Connection::deadline() const {
  const ServerSettings& settings = shared_->settings;
  std::optional<Clock::time_point> next;
  if (write_running_) next = writing_since_ + settings.write_timeout;
  const auto at_most = [&](Clock::time_point when) { next = next ? std::min(*next, when) : when; };
  if (lingering_) {
    at_most(reading_since_ + kLinger);
  } else if (reading_ == Reading::kHeader) {
    at_most(reading_since_ + settings.header_timeout);
  } else if (reading_ == Reading::kBody) {
    at_most(reading_since_ + settings.body_timeout);
  } else if (reading_ == Reading::kIdle && entries_.empty()) {
    at_most(reading_since_ + settings.idle_timeout);
  }
  return next;
}

// Armed anew only when the deadline moved forward; one that moved back is noticed when the timer fires.
void Connection::arm_timer() {
  const auto next = deadline();
  if (!next || ended_ || (armed_for_ && *armed_for_ <= *next)) return;
  armed_for_ = next;
  timer_.expires_at(*next);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (const auto self = weak.lock()) self->on_timer();
  });
}

void Connection::on_timer() {
  armed_for_.reset();
  if (ended_) return;
  const auto next = deadline();
  const auto now = Clock::now();
  if (!next || *next > now) return arm_timer();
  const bool write_late = write_running_ && writing_since_ + shared_->settings.write_timeout <= now;
  if (write_late || lingering_ || reading_ == Reading::kIdle) return end();
  const bool in_header = reading_ == Reading::kHeader;
  refuse(in_header ? "header_timeout" : "body_timeout",
         problem(408, "/problems/timeout", "the request took too long",
                 in_header ? "its header did not end" : "its body did not end"));
  write();
}

}  // namespace millrace::http
