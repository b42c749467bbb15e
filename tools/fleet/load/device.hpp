#pragma once

#include <cstdint>
#include <string>

namespace millrace::fleet {

enum class Protocol : std::uint8_t { kMqtt311, kMqtt5, kHttp, kCoap, kCoaps };

struct Device {
  std::string id;
  std::string token;
  Protocol protocol = Protocol::kMqtt311;
};

}  // namespace millrace::fleet
