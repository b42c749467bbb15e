#include <memory>

#include <benchmark/benchmark.h>

#include "limits/limiter.hpp"

namespace millrace::gateway {
namespace {

/// Rates of which there is always enough: what a message within its limits pays.
class Plenty final : public LimitSource {
 public:
  explicit Plenty(bool limited) {
    if (!limited) return;
    registry_view::Limits limits;
    limits.messages = limits.bytes = limits.points = {{1e9, 1e12}};
    limits_.device = limits_.tenant = std::make_shared<const registry_view::Limits>(limits);
  }
  [[nodiscard]] registry_view::LimitsOf limits(std::string_view, std::string_view) const override { return limits_; }
  [[nodiscard]] std::uint64_t generation() const override { return 1; }

 private:
  registry_view::LimitsOf limits_;
};

struct Parts {
  explicit Parts(bool limited) : source(limited) {}
  observability::Metrics registry;
  GatewayMetrics metrics{registry};
  Plenty source;
  Limiter limiter{source, metrics};
};

/// One message of one device: admitted, then charged for three points. Threads are devices of one tenant.
void BM_MessageWithinItsLimits(benchmark::State& state) {
  static Parts limited(true);
  static Parts unlimited(false);
  Limiter& limiter = state.range(0) != 0 ? limited.limiter : unlimited.limiter;
  const registry_view::Device device{"acme", "m-1", 1 + state.thread_index(), true};
  HeldTo held;
  for (auto _ : state) {
    if (limiter.admit(device, held, 200) || limiter.charge_points(held, 200, 3)) state.SkipWithError("over a limit");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_MessageWithinItsLimits)->ArgName("limited")->Arg(0)->Arg(1)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace millrace::gateway
