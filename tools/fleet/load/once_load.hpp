// The load of a fleet that reports now and then: each device connects when its turn comes, publishes one message, waits
// for the acknowledgement and goes. Only those whose turn it is have a link.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "load/device.hpp"
#include "load/link_loop.hpp"
#include "load/load_base.hpp"
#include "load/outcome.hpp"

namespace millrace::fleet {

class Pacer;

class OnceLoad : public LoadBase {
 public:
  /// At most `connections` devices at a time. A device that has no answer `options.drain` after its turn began is given
  /// up.
  OnceLoad(const LoadOptions& options, std::size_t connections, const Readings& readings,
           const std::vector<Device>& devices, Outcome& outcome);
  ~OnceLoad() override;

  Result<LoadResult> run(const std::function<void(const LoadState&)>& on_second) override;

 private:
  struct Turn {
    std::unique_ptr<Link> link;
    std::int64_t begun_ns = 0;
  };

  [[nodiscard]] Status begin_due();
  [[nodiscard]] Status begin_one();
  void end_turns();
  [[nodiscard]] LoadState state() const;

  LoadOptions options_;
  const std::size_t connections_;
  const Readings& readings_;
  const std::vector<Device>& devices_;
  Outcome& outcome_;
  LinkLoop loop_;
  std::vector<Turn> turns_;  // those that have begun and not ended
  std::size_t next_ = 0;     // device whose turn is next
  std::uint64_t due_ = 0;    // turns that have become due so far
  std::unique_ptr<Pacer> pacer_;
};

}  // namespace millrace::fleet
