#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include <millrace/postgres/pool.hpp>

namespace millrace::postgres {

struct Pool::Impl {
  explicit Impl(PoolOptions given) : options(std::move(given)) {}
  PoolOptions options;
  mutable std::mutex mutex;
  std::condition_variable freed;
  std::vector<std::unique_ptr<Connection>> idle;  // guarded by mutex
  std::size_t in_use = 0;                         // guarded by mutex
};

Pool::Lease::Lease(Pool& pool, std::unique_ptr<Connection> connection)
    : pool_(&pool), connection_(std::move(connection)) {}
Pool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), connection_(std::move(other.connection_)) {}
Pool::Lease::~Lease() {
  if (pool_ != nullptr) pool_->give_back(std::move(connection_));
}

Pool::Pool(PoolOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Pool::~Pool() = default;

Result<Pool::Lease> Pool::acquire(Clock::time_point deadline, std::function<bool()> interrupt) {
  std::unique_ptr<Connection> connection;
  {
    std::unique_lock lock(impl_->mutex);
    if (!impl_->freed.wait_until(lock, deadline, [this] { return impl_->in_use < impl_->options.size; })) {
      return Error{ErrorKind::kThrottled,
                   "all " + std::to_string(impl_->options.size) + " database connections are busy"};
    }
    ++impl_->in_use;
    if (!impl_->idle.empty()) {
      connection = std::move(impl_->idle.back());
      impl_->idle.pop_back();
    }
  }
  // From here on the place is ours: every way out gives it back.
  Lease lease(*this, std::move(connection));
  if (lease.connection_ && !lease.connection_->usable()) lease.connection_.reset();
  if (!lease.connection_) {
    ConnectOptions options = impl_->options.connect;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    options.connect_timeout = std::max(std::chrono::milliseconds{1}, std::min(options.connect_timeout, left));
    auto opened = Connection::open(options);
    if (!opened) return opened.error();
    lease.connection_ = std::move(*opened);
    if (impl_->options.on_open) {
      if (auto ready = impl_->options.on_open(*lease.connection_); !ready) {
        lease.connection_->close();
        return ready.error();
      }
    }
  }
  lease.connection_->set_deadline(deadline);
  lease.connection_->set_interrupt(std::move(interrupt));
  return lease;
}

void Pool::give_back(std::unique_ptr<Connection> connection) {
  if (connection) {
    connection->set_deadline(std::nullopt);
    connection->set_interrupt({});
    connection->rollback();
  }
  {
    const std::scoped_lock lock(impl_->mutex);
    --impl_->in_use;
    if (connection && connection->usable()) impl_->idle.push_back(std::move(connection));
  }
  impl_->freed.notify_one();
}

std::size_t Pool::in_use() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->in_use;
}

std::size_t Pool::size() const { return impl_->options.size; }

}  // namespace millrace::postgres
