#include <map>
#include <optional>

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
  [[nodiscard]] const Row* row() const { return row_; }
  [[nodiscard]] bool is_at(const RowKey& key) const { return row_ != nullptr && row_->key == key; }

 private:
  RowSource& source_;
  const Row* row_ = nullptr;
};

/// Rows that had to make room, by the key they have now.
class Moved {
 public:
  /// `row` gives up its place; the next one is free unless another moved row is there already.
  void add(const Row& row) {
    OwnedRow moved(row);
    do ++moved.row.key.time;
    while (rows_.contains(moved.row.key));
    rows_.emplace(moved.row.key, std::move(moved));
  }
  [[nodiscard]] const RowKey* first() const { return rows_.empty() ? nullptr : &rows_.begin()->first; }
  OwnedRow take() { return std::move(rows_.extract(rows_.begin()).mapped()); }

 private:
  std::map<RowKey, OwnedRow> rows_;
};

}  // namespace

Result<const Row*> VectorSource::next() {
  if (at_ == rows_.size()) return static_cast<const Row*>(nullptr);
  row_ = rows_[at_++].view();
  return static_cast<const Row*>(&row_);
}

Status merge(RowSource& archived, RowSource& later, const std::function<Status(const Row&)>& each) {
  Head old(archived);
  Head late(later);
  Moved moved;
  if (auto begun = old.advance(); !begun) return begun;
  if (auto begun = late.advance(); !begun) return begun;
  for (;;) {
    std::optional<RowKey> key;
    for (const RowKey* one : {old.row() != nullptr ? &old.row()->key : nullptr,
                              late.row() != nullptr ? &late.row()->key : nullptr, moved.first()}) {
      if (one != nullptr && (!key || *one < *key)) key = *one;
    }
    if (!key) return {};
    if (moved.first() != nullptr && *moved.first() == *key) {
      const OwnedRow row = moved.take();
      if (old.is_at(*key) || late.is_at(*key)) {
        moved.add(row.view());
      } else if (auto given = each(row.view()); !given) {
        return given;
      }
      continue;
    }
    const bool both = old.is_at(*key) && late.is_at(*key);
    const Row* first = late.is_at(*key) ? late.row() : old.row();
    const bool replaced =
        both && (archive_format::same_row(*old.row(), *late.row()) || (!old.row()->untimed && !late.row()->untimed));
    if (both && !replaced) {
      // A timed row keeps its place; of two untimed ones the earlier.
      first = late.row()->untimed ? old.row() : late.row();
      moved.add(late.row()->untimed ? *late.row() : *old.row());
    }
    if (auto given = each(*first); !given) return given;
    const bool take_old = old.is_at(*key);
    const bool take_late = late.is_at(*key);
    if (take_old) {
      if (auto done = old.advance(); !done) return done;
    }
    if (take_late) {
      if (auto done = late.advance(); !done) return done;
    }
  }
}

}  // namespace millrace::archive
