// Who answers for sessions: how many each has, and its share of the broker's memory. Not thread-safe; the broker's
// tables guard it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <millrace/mqtt/memory_share.hpp>

#include "level_trie.hpp"

namespace millrace::mqtt {

class Owners {
 public:
  /// `whole` may be null: then nobody has a share.
  explicit Owners(std::shared_ptr<MemoryShare> whole) : whole_(std::move(whole)) {}

  /// On whose account a session of that owner keeps what it keeps; nobody in particular: the whole. May be null.
  std::shared_ptr<MemoryShare> share_of(std::string_view name) {
    if (name.empty() || !whole_) return whole_;
    Owner& owner = find_or_make(name);
    if (!owner.share) owner.share = std::make_shared<MemoryShare>(whole_);
    return owner.share;
  }
  std::size_t sessions_of(std::string_view name) const {
    const auto found = owners_.find(name);
    return found == owners_.end() ? 0 : found->second.sessions;
  }
  void add_session(std::string_view name) {
    if (!name.empty()) ++find_or_make(name).sessions;
  }
  void remove_session(std::string_view name) {
    if (name.empty()) return;
    const auto found = owners_.find(name);
    if (--found->second.sessions == 0 && is_idle(found->second)) owners_.erase(found);
  }

 private:
  struct Owner {
    std::size_t sessions = 0;
    std::shared_ptr<MemoryShare> share;
  };

  /// Who has no session but messages that others still keep is remembered, so that it cannot begin anew with nothing
  /// used; such are looked for when the table has doubled.
  static bool is_idle(const Owner& owner) { return owner.sessions == 0 && (!owner.share || owner.share->used() == 0); }
  Owner& find_or_make(std::string_view name) {
    if (const auto found = owners_.find(name); found != owners_.end()) return found->second;
    if (owners_.size() >= sweep_at_) {
      std::erase_if(owners_, [](const auto& entry) { return is_idle(entry.second); });
      sweep_at_ = 2 * owners_.size() + kLeastSweep;
    }
    return owners_[std::string(name)];
  }

  static constexpr std::size_t kLeastSweep = 64;

  const std::shared_ptr<MemoryShare> whole_;
  StringMap<Owner> owners_;
  std::size_t sweep_at_ = kLeastSweep;
};

}  // namespace millrace::mqtt
