#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include <millrace/journal/journal.hpp>

namespace millrace::gateway {

/// Entries of the journal that were handed on and are not yet confirmed to it, in the journal's order. A pure value;
/// not thread-safe.
///
/// Its bound holds rule 0 of the copy rules: readers of the log tell the last 65,536 counters of a run apart, so
/// whatever a restart hands on again must be closer than that to the newest that was handed on.
class HandOnWindow {
 public:
  HandOnWindow(std::size_t most_entries, std::size_t most_bytes)
      : most_entries_(most_entries), most_bytes_(most_bytes) {}

  [[nodiscard]] bool full() const { return slots_.size() >= most_entries_ || bytes_ >= most_bytes_; }
  [[nodiscard]] std::size_t size() const { return slots_.size(); }

  /// The token by which its outcome is told.
  std::uint64_t add(journal::Entry entry);

  [[nodiscard]] const journal::Entry& entry(std::uint64_t token) const;

  /// It is where it should be, or never will be.
  void done(std::uint64_t token);
  /// It must be handed on once more.
  void again(std::uint64_t token);
  /// The oldest of those, which counts as handed on from now on.
  [[nodiscard]] std::optional<std::uint64_t> take_again();

  /// Forgets the oldest entries that are done; returns the place behind them, none if there were none.
  [[nodiscard]] std::optional<journal::Position> release();

 private:
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  enum class State { kHandedOn, kAgain, kDone };
  struct Slot {
    State state = State::kHandedOn;
    journal::Entry entry;
  };
  Slot& slot(std::uint64_t token) { return slots_[static_cast<std::size_t>(token - first_)]; }

  std::size_t most_entries_;
  std::size_t most_bytes_;
  std::deque<Slot> slots_;
  std::uint64_t first_ = 1;  // token of the oldest slot
  std::size_t bytes_ = 0;
  std::size_t again_ = 0;
  std::uint64_t again_from_ = kNever;  // no older token is to be handed on again
};

}  // namespace millrace::gateway
