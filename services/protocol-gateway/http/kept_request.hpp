#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include <millrace/http/server.hpp>

#include "http/waiting_room.hpp"

namespace millrace::gateway {

/// A copy of a request for when its handler has returned, with the fields that a message of a device may have.
class KeptRequest final : public http::Request {
 public:
  /// What a copy costs at most, about.
  [[nodiscard]] static std::size_t bytes_of(const http::Request& from) {
    constexpr std::size_t kFields = 1024;
    return from.body().size() + from.path().size() + from.query().size() + kFields;
  }

  KeptRequest(const http::Request& from, WaitingRoom::Place place)
      : place_(std::move(place)),
        method_(from.method()),
        path_(from.path()),
        query_(from.query()),
        body_(from.body()),
        peer_(from.peer()) {
    for (const std::string_view name : {"idempotency-key", "content-type", "traceparent"}) {
      if (const auto value = from.header(name)) fields_.push_back({name, std::string(*value), from.header_count(name)});
    }
  }

  [[nodiscard]] http::Method method() const override { return method_; }
  [[nodiscard]] std::string_view path() const override { return path_; }
  [[nodiscard]] std::string_view query() const override { return query_; }
  [[nodiscard]] std::string_view body() const override { return body_; }
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const override {
    for (const Field& field : fields_) {
      if (field.name == name) return field.value;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::size_t header_count(std::string_view name) const override {
    for (const Field& field : fields_) {
      if (field.name == name) return field.count;
    }
    return 0;
  }
  [[nodiscard]] const Address& peer() const override { return peer_; }
  [[nodiscard]] const std::vector<std::string>& peer_chain() const override { return no_chain_; }

 private:
  struct Field {
    std::string_view name;  // a literal
    std::string value;
    std::size_t count;
  };

  WaitingRoom::Place place_;
  http::Method method_;
  std::string path_;
  std::string query_;
  std::string body_;
  Address peer_;
  std::vector<std::string> no_chain_;
  std::vector<Field> fields_;
};

}  // namespace millrace::gateway
