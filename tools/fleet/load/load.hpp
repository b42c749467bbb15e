// The load of devices that stay connected: one thread, one epoll, one link per device.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "load/device.hpp"
#include "load/link_loop.hpp"
#include "load/load_base.hpp"
#include "load/outcome.hpp"

namespace millrace::fleet {

class Load : public LoadBase {
 public:
  Load(const LoadOptions& options, const Readings& readings, const std::vector<Device>& devices, Outcome& outcome);
  ~Load() override;

  Result<LoadResult> run(const std::function<void(const LoadState&)>& on_second) override;

 private:
  Status open();
  void warm_up();
  void make_due();
  void finish();
  bool make_one(std::size_t device, std::int64_t due_ns);
  LoadState state() const;

  LoadOptions options_;
  const Readings& readings_;
  const std::vector<Device>& devices_;
  Outcome& outcome_;
  LinkLoop loop_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<std::uint32_t> next_index_;
  std::vector<TimeUs> last_time_;
  std::size_t exhausted_ = 0;
  std::size_t turn_ = 0;
  std::uint64_t made_ = 0;
  std::unique_ptr<class Pacer> pacer_;
  TimeUs now_us_ = 0;
  std::int64_t made_until_ns_ = 0;  // 0 while messages are made
};

}  // namespace millrace::fleet
