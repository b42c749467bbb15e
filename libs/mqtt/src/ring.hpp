// A first-in-first-out queue with access by index: a deque that costs nothing while it is empty and gives memory back.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace millrace::mqtt {

template <typename T>
class Ring {
 public:
  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  /// From the front. Precondition: index < size().
  T& operator[](std::size_t index) { return slots_[(head_ + index) & (slots_.size() - 1)]; }
  T& front() { return slots_[head_]; }

  void push(T value) {
    if (count_ == slots_.size()) grow();
    (*this)[count_] = std::move(value);
    ++count_;
  }
  /// What the popped element held is freed at once; a large ring that became empty is freed as well.
  void pop() {
    front() = T{};
    head_ = (head_ + 1) & (slots_.size() - 1);
    if (--count_ == 0 && slots_.size() > kKept) *this = Ring();
  }
  template <typename Predicate>
  void remove_if(Predicate&& predicate) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (predicate((*this)[i])) continue;
      if (kept != i) (*this)[kept] = std::move((*this)[i]);
      ++kept;
    }
    for (std::size_t i = kept; i < count_; ++i) (*this)[i] = T{};
    count_ = kept;
    if (count_ == 0) *this = Ring();
  }

 private:
  static constexpr std::size_t kKept = 8;

  void grow() {
    std::vector<T> slots(slots_.empty() ? 4 : 2 * slots_.size());
    for (std::size_t i = 0; i < count_; ++i) slots[i] = std::move((*this)[i]);
    slots_ = std::move(slots);
    head_ = 0;
  }

  std::vector<T> slots_;  // a power of two
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

}  // namespace millrace::mqtt
