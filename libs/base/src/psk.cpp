#include <algorithm>

#include <millrace/base/psk.hpp>

namespace millrace {

std::string psk_of(const Sha256& token) {
  std::string key = to_base64(bytes_of(token));
  std::replace(key.begin(), key.end(), '+', '-');
  std::replace(key.begin(), key.end(), '/', '_');
  key.resize(kPskBytes);
  return key;
}

}  // namespace millrace
