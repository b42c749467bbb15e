#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <millrace/postgres/connection.hpp>

namespace millrace::testing {

/// A session with a generous deadline; null and a failed expectation where there is none.
inline std::unique_ptr<postgres::Connection> open_database(const std::string& url) {
  postgres::ConnectOptions options;
  options.url = url;
  options.connect_timeout = options.call_timeout = std::chrono::milliseconds{60'000};
  auto connection = postgres::Connection::open(options);
  EXPECT_TRUE(connection.ok()) << connection.error().message;
  return connection.ok() ? std::move(*connection) : nullptr;
}

/// `postgresql://user@host:port/DATABASE?options` with another database.
inline std::string with_database(const std::string& url, const std::string& name) {
  const std::size_t path = url.find('/', url.find("://") + 3);
  const std::size_t options = std::min(url.find('?'), url.size());
  return url.substr(0, path) + "/" + name + url.substr(options);
}

}  // namespace millrace::testing
