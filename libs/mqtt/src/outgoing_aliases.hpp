// The topic aliases that a connection has given towards its client.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/mqtt/server_connection.hpp>

namespace millrace::mqtt {

/// First come, first served: the first topics get an alias each and keep it while the connection lasts. Few, so a walk
/// finds them.
class ServerConnection::OutgoingAliases {
 public:
  /// 0: the topic has none.
  std::uint16_t find(std::string_view topic) const {
    for (std::size_t i = 0; i < topics_.size(); ++i) {
      if (topics_[i] == topic) return static_cast<std::uint16_t>(i + 1);
    }
    return 0;
  }
  std::size_t size() const { return topics_.size(); }
  /// The topic gets alias size().
  void add(std::string_view topic) { topics_.emplace_back(topic); }

 private:
  std::vector<std::string> topics_;
};

}  // namespace millrace::mqtt
