#include "delivery/partition_progress.hpp"

#include <algorithm>

namespace millrace::notifier {
namespace {

// Names are at most 64 bytes: with so many tenants the positions alone fill a record of a megabyte.
constexpr std::size_t kMaxTenants = 8'000;

std::int64_t first_open(const Saved::Tenant& tenant) {
  return tenant.open.empty() ? tenant.next_offset : std::min(tenant.open.front(), tenant.next_offset);
}

}  // namespace

PartitionProgress::PartitionProgress(const Saved& saved) : next_offset_(saved.next_offset) {
  for (const Saved::Tenant& one : saved.tenants) {
    Backlog backlog;
    backlog.all_from = one.next_offset;
    backlog.wanted_before.insert(one.open.begin(), one.open.end());
    backlog.cursor = first_open(one);
    if (next_wanted(backlog) < next_offset_) tenants_[one.tenant].backlog = std::move(backlog);
  }
}

void PartitionProgress::pass(std::int64_t next_offset) {
  if (next_offset <= next_offset_) return;
  next_offset_ = next_offset;
  ++version_;
}

PartitionProgress::Tenant& PartitionProgress::tenant(std::string_view name) {
  const auto found = tenants_.find(name);
  return found != tenants_.end() ? found->second : tenants_[std::string(name)];
}

void PartitionProgress::forget_if_done(Tenants::iterator found) {
  if (found->second.open.empty() && !found->second.backlog) tenants_.erase(found);
}

void PartitionProgress::begin(std::string_view name, std::int64_t offset) {
  tenant(name).open.insert(offset);
  ++version_;
}

void PartitionProgress::end(std::string_view name, std::int64_t offset) {
  const auto found = tenants_.find(name);
  if (found == tenants_.end()) return;
  found->second.open.erase(offset);
  forget_if_done(found);
  ++version_;
}

void PartitionProgress::leave(std::string_view name, std::int64_t offset) {
  Tenant& found = tenant(name);
  if (found.backlog) return;
  found.backlog = Backlog{offset, offset, {}};
  ++version_;
}

bool PartitionProgress::is_behind(std::string_view name) const {
  const auto found = tenants_.find(name);
  return found != tenants_.end() && found->second.backlog.has_value();
}

std::int64_t PartitionProgress::next_wanted(const Backlog& backlog) {
  const auto listed = backlog.wanted_before.lower_bound(backlog.cursor);
  const std::int64_t rest = std::max(backlog.cursor, backlog.all_from);
  return listed == backlog.wanted_before.end() ? rest : std::min(*listed, rest);
}

std::optional<std::int64_t> PartitionProgress::backlog_from(std::string_view name) const {
  const auto found = tenants_.find(name);
  if (found == tenants_.end() || !found->second.backlog) return std::nullopt;
  return next_wanted(*found->second.backlog);
}

bool PartitionProgress::is_wanted(std::string_view name, std::int64_t offset) const {
  const auto found = tenants_.find(name);
  if (found == tenants_.end() || !found->second.backlog) return false;
  const Backlog& backlog = *found->second.backlog;
  return offset >= backlog.cursor && (offset >= backlog.all_from || backlog.wanted_before.contains(offset));
}

void PartitionProgress::reach(std::string_view name, std::int64_t next_offset) {
  const auto found = tenants_.find(name);
  if (found == tenants_.end() || !found->second.backlog) return;
  Backlog& backlog = *found->second.backlog;
  if (next_offset <= backlog.cursor) return;
  backlog.cursor = next_offset;
  backlog.wanted_before.erase(backlog.wanted_before.begin(), backlog.wanted_before.lower_bound(next_offset));
  if (next_wanted(backlog) >= next_offset_) found->second.backlog.reset();
  forget_if_done(found);
  ++version_;
}

void PartitionProgress::forget_backlog(std::string_view name) {
  const auto found = tenants_.find(name);
  if (found == tenants_.end() || !found->second.backlog) return;
  found->second.backlog.reset();
  forget_if_done(found);
  ++version_;
}

std::vector<std::string> PartitionProgress::tenants_behind() const {
  std::vector<std::string> names;
  for (const auto& [name, one] : tenants_) {
    if (one.backlog) names.push_back(name);
  }
  return names;
}

Saved::Tenant PartitionProgress::save(const std::string& name, const Tenant& one) const {
  Saved::Tenant saved{name, next_offset_, {one.open.begin(), one.open.end()}};
  if (!one.backlog) return saved;
  saved.next_offset = std::max(one.backlog->cursor, one.backlog->all_from);
  saved.open.insert(saved.open.end(), one.backlog->wanted_before.lower_bound(one.backlog->cursor),
                    one.backlog->wanted_before.end());
  std::sort(saved.open.begin(), saved.open.end());
  return saved;
}

Saved PartitionProgress::save(std::size_t limit) const {
  Saved saved{next_offset_, {}};
  std::size_t open = 0;
  for (const auto& [name, one] : tenants_) {
    saved.tenants.push_back(save(name, one));
    open += saved.tenants.back().open.size();
  }
  if (open > limit) {
    for (Saved::Tenant& one : saved.tenants) one = {one.tenant, first_open(one), {}};
  }
  if (saved.tenants.size() > kMaxTenants) {
    for (const Saved::Tenant& one : saved.tenants) saved.next_offset = std::min(saved.next_offset, first_open(one));
    saved.tenants.clear();
  }
  return saved;
}

}  // namespace millrace::notifier
