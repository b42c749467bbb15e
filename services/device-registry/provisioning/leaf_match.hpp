#pragma once

#include <span>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/registry/v1/entry.pb.h>

namespace millrace::registry {

inline constexpr std::size_t kMostChainBytes = 32 * 1024;  ///< of all certificates of a chain together

/// A leaf, the authority that lets it in, and the device it stands for.
struct LeafMatch {
  const v1::AuthorityEntry* authority = nullptr;  ///< one of those that were given
  std::string device;
};

/// kInvalid unless there are 1 to 8 certificates of together at most kMostChainBytes.
[[nodiscard]] Status check_chain(const std::vector<std::string>& chain);

/// The first of `authorities` that may make devices at `now`, under which the chain (DER, the leaf first) was issued
/// and by whose pattern the leaf has a name. kPrecondition: none of them makes devices; kInvalid: none lets this leaf
/// in, or its names stand for more than one device. As long as one check of a chain for each authority takes.
[[nodiscard]] Result<LeafMatch> match_leaf(std::span<const v1::AuthorityEntry> authorities,
                                           const std::vector<std::string>& chain, TimeUs now);

}  // namespace millrace::registry
