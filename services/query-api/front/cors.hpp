#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/http/server.hpp>

namespace millrace::query_api {

/// Which pages of other origins may call (Fetch standard, "CORS protocol"). Only tells browsers: who has a key may call
/// from anywhere else. Immutable.
class Cors {
 public:
  /// `*` among them: all.
  explicit Cors(const std::vector<std::string>& origins)
      : all_(std::find(origins.begin(), origins.end(), "*") != origins.end()),
        origins_(origins.begin(), origins.end()) {}

  /// Answers the question a browser asks before its request (OPTIONS with an Origin).
  [[nodiscard]] http::Response preflight(std::string_view origin) const;
  /// Adds what lets the page read the answer.
  void allow(std::string_view origin, http::Response& response) const;

 private:
  [[nodiscard]] bool allowed(std::string_view origin) const { return all_ || origins_.contains(origin); }

  bool all_;
  std::set<std::string, std::less<>> origins_;
};

}  // namespace millrace::query_api
