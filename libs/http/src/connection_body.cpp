// Answers that come in pieces.
#include <algorithm>

#include <boost/asio/post.hpp>

#include "connection.hpp"

namespace millrace::http {

namespace asio = boost::asio;

namespace {

/// So much is written at once: a slow client is known by one such stretch, not by a whole piece.
constexpr std::size_t kStretch = 64 * 1024;

}  // namespace

void BodyStream::write(std::string piece) const { slot_->write(std::move(piece)); }
void BodyStream::end() const { slot_->end(); }

BodyStream Responder::stream(Response head, BodyEvents events) const {
  return slot_->stream(std::move(head), std::move(events));
}

BodyStream Responder::Slot::stream(Response head, BodyEvents events) {
  if (answered_.exchange(true)) return BodyStream(std::make_shared<BodyStream::Slot>(nullptr, 0));
  asio::any_io_executor executor = connection_->executor();
  BodyStream body(std::make_shared<BodyStream::Slot>(connection_, sequence_));
  asio::post(executor, [connection = std::move(connection_), sequence = sequence_, head = std::move(head),
                        events = std::move(events)]() mutable {
    connection->begin_body(sequence, std::move(head), std::move(events));
  });
  return body;
}

// All by post, so that the calls keep their order on whatever thread they are made.
void BodyStream::Slot::write(std::string piece) {
  if (connection_ == nullptr || ended_.load()) return;
  asio::post(connection_->executor(),
             [connection = connection_, sequence = sequence_, piece = std::move(piece)]() mutable {
               connection->write_body(sequence, std::move(piece));
             });
}

void BodyStream::Slot::end() {
  if (connection_ == nullptr || ended_.exchange(true)) return;
  asio::post(connection_->executor(),
             [connection = connection_, sequence = sequence_] { connection->end_body(sequence); });
}

BodyStream::Slot::~Slot() {
  if (connection_ == nullptr || ended_.load()) return;
  asio::post(connection_->executor(),
             [connection = connection_, sequence = sequence_] { connection->cut_body(sequence); });
}

void Connection::begin_body(std::uint64_t sequence, Response head, BodyEvents events) {
  Entry* entry = entry_of(sequence);
  if (entry == nullptr || entry->response) return events.gone();
  entry->response = std::move(head);
  entry->body = std::make_unique<Body>();
  entry->body->events = std::move(events);
  if (entry->is_http10) {
    entry->body->framing = Framing::kClose;
    entry->persistence = Persistence::kClose;
  }
  if (client_ended_) return end();
  if (!processing_) write();
  read();
}

void Connection::write_body(std::uint64_t sequence, std::string piece) {
  Entry* entry = entry_of(sequence);
  if (entry == nullptr || !entry->body) return;
  entry->body->piece = std::move(piece);
  entry->body->at = 0;
  write();
}

void Connection::end_body(std::uint64_t sequence) {
  Entry* entry = entry_of(sequence);
  if (entry == nullptr || !entry->body) return;
  entry->body->ended = true;
  write();
  if (!ended_) process();  // there may be room for further requests
}

void Connection::cut_body(std::uint64_t sequence) {
  if (entry_of(sequence) != nullptr) end();
}

void Connection::write_head(const Entry& entry) {
  serialize_head(*entry.response, entry.persistence, entry.body->framing, output_);
  shared_->observer.answered(entry.response->status, Clock::now() - entry.started);
  if (entry.response->status < 400) stranger_.reset();
}

// One stretch at a time. True: all of the answer is written or about to be.
bool Connection::write_piece(Entry& entry) {
  if (write_running_) return false;
  Body& body = *entry.body;
  if (!body.head_sent) write_head(entry);
  body.head_sent = true;
  const std::string_view rest = std::string_view(body.piece).substr(body.at);
  const std::string_view stretch = rest.substr(0, kStretch);
  if (!stretch.empty() && entry.form == BodyForm::kWhole) {
    if (body.framing == Framing::kChunked) {
      serialize_chunk(stretch, output_);
    } else {
      output_.append(stretch);
    }
  }
  body.at += stretch.size();
  if (!body.ended || body.at < body.piece.size()) return false;
  if (body.framing == Framing::kChunked && entry.form == BodyForm::kWhole) output_.append(kLastChunk);
  return true;
}

void Connection::tell_written() {
  if (!streams()) return;
  Body& body = *entries_.front().body;
  if (body.piece.empty() || body.at < body.piece.size()) return;
  body.piece.clear();
  body.at = 0;
  const auto written = body.events.written;
  written();
}

}  // namespace millrace::http
