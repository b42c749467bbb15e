#include "front/web_stream.hpp"

#include <vector>

namespace millrace::query_api {

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

void WebStream::start(grpc::GenericStub& stub) {
  self_ = shared_from_this();
  asked_ = buffer_of(request_.message);
  stub.PrepareBidiStreamingCall(&context_, request_.path, grpc::StubOptions{}, this);
  // Reads begin on the thread of HTTP too, outside of gRPC's callbacks: the call must not be done before the last one.
  AddHold();
  {
    const std::lock_guard lock(mutex_);
    ask();
  }
  StartWriteLast(&asked_, grpc::WriteOptions{});
  StartCall();
}

void WebStream::ask() {
  reading_ = true;
  StartRead(&message_);
}

void WebStream::read_no_more() {
  if (!may_read_) return;
  may_read_ = false;
  RemoveHold();
}

void WebStream::begin() {
  if (body_ || gone_) return;
  http::Response head = request_.head;
  head.content_type = content_type_of(request_.form);
  const std::weak_ptr<WebStream> weak = weak_from_this();
  http::BodyEvents events;
  events.written = [weak] {
    if (const auto self = weak.lock()) self->on_written();
  };
  events.gone = [weak] {
    if (const auto self = weak.lock()) self->on_gone();
  };
  body_ = request_.responder.stream(std::move(head), std::move(events));
}

void WebStream::OnReadInitialMetadataDone(bool ok) {
  const std::lock_guard lock(mutex_);
  if (ok) begin();
}

void WebStream::OnReadDone(bool ok) {
  const std::lock_guard lock(mutex_);
  reading_ = false;
  if (!ok || gone_) return read_no_more();
  auto piece = stream_message(request_.form, bytes_of(message_), request_.method);
  if (!piece) {
    fault_ = no_json();
    context_.TryCancel();
    return read_no_more();
  }
  begin();
  body_->write(*std::move(piece));
}

void WebStream::on_written() {
  const std::lock_guard lock(mutex_);
  if (may_read_ && !reading_) ask();
}

void WebStream::on_gone() {
  const std::lock_guard lock(mutex_);
  if (gone_) return;
  gone_ = true;
  context_.TryCancel();
  if (!reading_) read_no_more();
}

void WebStream::OnDone(const grpc::Status& status) {
  {
    const std::lock_guard lock(mutex_);
    begin();
    if (body_ && !gone_) {
      body_->write(stream_end(request_.form, fault_.value_or(status)));
      body_->end();
    }
    body_.reset();
  }
  const auto done = request_.done;
  self_.reset();
  done();
}

}  // namespace millrace::query_api
