#include "store/page_token.hpp"

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>

namespace millrace::registry {

std::string page_token_after(const std::string& last) { return to_hex(last); }

Result<std::string> parse_page_token(const std::string& token) {
  if (token.empty()) return std::string{};
  auto id = from_hex(token);
  if (!id.ok() || !is_valid_id(*id)) return Error{ErrorKind::kInvalid, "page_token is none that this service gave"};
  return id;
}

Result<int> page_size_of(int asked) {
  if (asked == 0) return kUsualPage;
  if (asked < 0 || asked > kMostPage)
    return Error{ErrorKind::kInvalid, "page_size must be 1 to " + std::to_string(kMostPage)};
  return asked;
}

}  // namespace millrace::registry
