#include <algorithm>
#include <charconv>
#include <cstdint>

#include <argon2.h>

#include <millrace/base/digest.hpp>
#include <millrace/credentials/password.hpp>

namespace millrace::credentials {
namespace {

constexpr std::string_view kPrefix = "$argon2id$v=19$";
constexpr std::size_t kMostPhcBytes = 512;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kHashBytes = 32;

struct Costs {
  std::uint32_t memory_kib = 0;
  std::uint32_t passes = 0;
  std::uint32_t lanes = 0;
};

constexpr Costs kOurs{19456, 2, 1};
constexpr Costs kMost{64 * 1024, 10, 4};

struct Phc {
  Costs costs;
  std::string salt;
  std::string hash;
};

Error bad(std::string_view what) { return {ErrorKind::kInvalid, "the password's hash " + std::string(what)}; }

// Takes `name` and a decimal number without leading zeros from the front of `text`.
bool take_number(std::string_view& text, std::string_view name, std::uint32_t& value) {
  if (!text.starts_with(name)) return false;
  text.remove_prefix(name.size());
  if (text.starts_with('0')) return false;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

// PHC strings have base64 without padding.
Result<std::string> from_unpadded(std::string_view text) {
  std::string padded(text);
  if (padded.find('=') != std::string::npos) return bad("has padding in its base64");
  while (padded.size() % 4 != 0) padded += '=';
  return from_base64(padded);
}

std::string to_unpadded(std::string_view bytes) {
  std::string text = to_base64(bytes);
  text.erase(std::find(text.begin(), text.end(), '='), text.end());
  return text;
}

Status check_costs(const Costs& costs) {
  // RFC 9106 section 3.1: at least 8 KiB for each lane.
  if (costs.memory_kib > kMost.memory_kib || costs.memory_kib < 8 * costs.lanes) {
    return bad("must have m from 8 times p to 65536 (KiB)");
  }
  if (costs.passes > kMost.passes) return bad("must have t from 1 to 10");
  if (costs.lanes > kMost.lanes) return bad("must have p from 1 to 4");
  return {};
}

Result<Phc> parse(std::string_view text) {
  if (text.size() > kMostPhcBytes) return bad("is longer than 512 bytes");
  if (!text.starts_with(kPrefix)) return bad("must start with " + std::string(kPrefix));
  text.remove_prefix(kPrefix.size());
  Phc phc;
  if (!take_number(text, "m=", phc.costs.memory_kib) || !take_number(text, ",t=", phc.costs.passes) ||
      !take_number(text, ",p=", phc.costs.lanes) || !text.starts_with('$')) {
    return bad("must have its costs as m=<KiB>,t=<passes>,p=<lanes>");
  }
  if (Status status = check_costs(phc.costs); !status) return status.error();
  text.remove_prefix(1);
  const std::size_t border = text.find('$');
  if (border == std::string_view::npos) return bad("has no hash behind its salt");
  auto salt = from_unpadded(text.substr(0, border));
  auto hash = from_unpadded(text.substr(border + 1));
  if (!salt || salt->size() < 8 || salt->size() > 64) return bad("must have a salt of 8 to 64 bytes in base64");
  if (!hash || hash->size() < 16 || hash->size() > 64) return bad("must have a hash of 16 to 64 bytes in base64");
  phc.salt = std::move(salt).value();
  phc.hash = std::move(hash).value();
  return phc;
}

// argon2_context wants pointers to what it does not change.
std::uint8_t* bytes(const std::string& text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); }

Result<std::string> compute(const Costs& costs, const std::string& salt, std::size_t size, std::string_view password) {
  std::string out(size, '\0');
  std::string secret(password);
  argon2_context context{};
  context.out = bytes(out);
  context.outlen = static_cast<std::uint32_t>(size);
  context.pwd = bytes(secret);
  context.pwdlen = static_cast<std::uint32_t>(secret.size());
  context.salt = bytes(salt);
  context.saltlen = static_cast<std::uint32_t>(salt.size());
  context.t_cost = costs.passes;
  context.m_cost = costs.memory_kib;
  context.lanes = costs.lanes;
  context.threads = 1;
  context.version = ARGON2_VERSION_13;
  context.flags = ARGON2_FLAG_CLEAR_PASSWORD;
  const int code = argon2_ctx(&context, Argon2_id);
  if (code == ARGON2_OK) return out;
  const bool memory = code == ARGON2_MEMORY_ALLOCATION_ERROR;
  return Error{memory ? ErrorKind::kUnavailable : ErrorKind::kInternal,
               std::string("a password cannot be hashed: ") + argon2_error_message(code)};
}

}  // namespace

Result<std::string> hash_password(std::string_view password) {
  if (password.size() < kLeastPasswordBytes || password.size() > kMostPasswordBytes) {
    return Error{ErrorKind::kInvalid, "a password must have 8 to 1024 bytes"};
  }
  const std::string salt = random_bytes(kSaltBytes);
  auto hash = compute(kOurs, salt, kHashBytes, password);
  if (!hash) return hash;
  return std::string(kPrefix) + "m=" + std::to_string(kOurs.memory_kib) + ",t=" + std::to_string(kOurs.passes) +
         ",p=" + std::to_string(kOurs.lanes) + "$" + to_unpadded(salt) + "$" + to_unpadded(*hash);
}

Status check_phc(std::string_view phc) {
  const auto parsed = parse(phc);
  return parsed ? Status() : parsed.error();
}

Result<bool> verify_password(std::string_view phc, std::string_view password) {
  const auto wanted = parse(phc);
  if (!wanted) return wanted.error();
  if (password.size() < kLeastPasswordBytes || password.size() > kMostPasswordBytes) return false;
  const auto hash = compute(wanted->costs, wanted->salt, wanted->hash.size(), password);
  if (!hash) return hash.error();
  return equal_constant_time(wanted->hash, *hash);
}

}  // namespace millrace::credentials
