#include <millrace/archive/merge.hpp>

namespace millrace::archive {
namespace {

/// The head of a source.
class Head {
 public:
  explicit Head(RowSource& source) : source_(source) {}
  [[nodiscard]] Status advance() {
    auto row = source_.next();
    if (!row) return row.error();
    row_ = *row;
    return {};
  }
  [[nodiscard]] Status leave(const RowKey& key) { return is_at(key) ? advance() : Status{}; }
  [[nodiscard]] const Row* row() const { return row_; }
  [[nodiscard]] bool is_at(const RowKey& key) const { return row_ != nullptr && row_->key == key; }

 private:
  RowSource& source_;
  const Row* row_ = nullptr;
};

/// Which of two rows with one key has it; the other one moves on unless it is replaced.
struct Contest {
  const Row* stays = nullptr;
  const Row* moves = nullptr;
};

Contest contest(const Row& old, const Row& late) {
  const bool replaced = archive_format::same_row(old, late) || (!old.untimed && !late.untimed);
  if (replaced) return {&late, nullptr};
  // A timed row keeps its place; of two untimed ones the earlier.
  return late.untimed ? Contest{&old, &late} : Contest{&late, &old};
}

}  // namespace

Result<const Row*> VectorSource::next() {
  if (at_ == rows_.size()) return static_cast<const Row*>(nullptr);
  row_ = rows_[at_++].view();
  return static_cast<const Row*>(&row_);
}

void Merge::move(const Row& row) {
  if (moved_.empty()) since_ = row.key;
  OwnedRow moved(row);
  do ++moved.row.key.time;
  while (moved_.contains(moved.row.key));
  moved_.emplace(moved.row.key, std::move(moved));
}

// The first of those that wait has come to a place that is taken.
void Merge::move_on() {
  const auto since = since_;
  const OwnedRow row = std::move(moved_.extract(moved_.begin()).mapped());
  move(row.view());
  since_ = since;
}

// To a free one.
Status Merge::give_moved(const Each& each) {
  if (auto given = each(moved_.begin()->second.view()); !given) return given;
  moved_.erase(moved_.begin());
  if (moved_.empty()) since_.reset();
  return {};
}

Status Merge::run(RowSource& archived, RowSource& later, const std::optional<RowKey>& end, const Each& each) {
  Head old(archived);
  Head late(later);
  if (auto begun = old.advance(); !begun) return begun;
  if (auto begun = late.advance(); !begun) return begun;
  for (;;) {
    std::optional<RowKey> key;
    for (const RowKey* one :
         {old.row() != nullptr ? &old.row()->key : nullptr, late.row() != nullptr ? &late.row()->key : nullptr,
          moved_.empty() ? nullptr : &moved_.begin()->first}) {
      if (one != nullptr && (!key || *one < *key)) key = *one;
    }
    if (!key || (end && *key >= *end)) return {};
    if (!moved_.empty() && moved_.begin()->first == *key) {
      if (old.is_at(*key) || late.is_at(*key)) {
        move_on();
      } else if (auto given = give_moved(each); !given) {
        return given;
      }
      continue;
    }
    Contest found{late.is_at(*key) ? late.row() : old.row(), nullptr};
    if (old.is_at(*key) && late.is_at(*key)) found = contest(*old.row(), *late.row());
    if (auto given = each(*found.stays); !given) return given;
    if (found.moves != nullptr) move(*found.moves);
    if (auto left = old.leave(*key); !left) return left;
    if (auto left = late.leave(*key); !left) return left;
  }
}

Status merge(RowSource& archived, RowSource& later, const Merge::Each& each) {
  return Merge().run(archived, later, std::nullopt, each);
}

}  // namespace millrace::archive
