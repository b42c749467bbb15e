#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "ingest/message.hpp"

namespace millrace::gateway {

/// Brings outcomes from the io threads to the thread of CoAP: a queue and an eventfd to wait on. Bounded by what is in
/// flight: each message that was taken has one outcome.
class OutcomeInbox final : public AckSink {
 public:
  OutcomeInbox();  ///< throws std::runtime_error without a descriptor
  ~OutcomeInbox() override;
  OutcomeInbox(const OutcomeInbox&) = delete;
  OutcomeInbox& operator=(const OutcomeInbox&) = delete;

  /// Readable while something may wait.
  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// Everything that waits, in order. The thread of CoAP.
  [[nodiscard]] std::vector<std::pair<std::uint64_t, Outcome>> take();
  /// Makes the descriptor readable. Any thread.
  void wake() const;

  [[nodiscard]] std::size_t io_index() const override { return 0; }
  void settle(std::uint64_t token, const Outcome& outcome) override;
  void flush() override;

 private:
  int descriptor_;
  std::mutex mutex_;
  std::vector<std::pair<std::uint64_t, Outcome>> waiting_;
  bool told_ = false;  // the descriptor was made readable since the last take()
};

}  // namespace millrace::gateway
