#include "io/io_threads.hpp"

#include <boost/asio/post.hpp>

namespace millrace::gateway {

IoThreads::IoThreads(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    contexts_.push_back(std::make_unique<boost::asio::io_context>(1));
    guards_.emplace_back(boost::asio::make_work_guard(*contexts_.back()));
  }
}

IoThreads::~IoThreads() { stop(); }

void IoThreads::start() {
  for (auto& context : contexts_) {
    threads_.emplace_back([&io = *context] { io.run(); });
  }
}

void IoThreads::stop() {
  for (auto& context : contexts_) context->stop();
  threads_.clear();
}

std::vector<boost::asio::io_context*> IoThreads::contexts() {
  std::vector<boost::asio::io_context*> all;
  for (auto& context : contexts_) all.push_back(context.get());
  return all;
}

void IoThreads::settle(std::vector<Settlement> settlements) {
  std::vector<std::vector<Settlement>> by_thread(size());
  for (auto& batch : by_thread) batch.reserve(settlements.size());
  for (Settlement& settlement : settlements) {
    if (settlement.waiter.sink) by_thread[settlement.waiter.sink->io_index()].push_back(std::move(settlement));
  }
  for (std::size_t i = 0; i < by_thread.size(); ++i) {
    if (by_thread[i].empty()) continue;
    boost::asio::post(context(i), [batch = std::move(by_thread[i])] {
      for (const Settlement& settlement : batch)
        settlement.waiter.sink->settle(settlement.waiter.token, settlement.outcome);
      // Those of one sink come in runs: a client's messages are in one partition, in its order.
      const AckSink* flushed = nullptr;
      for (const Settlement& settlement : batch) {
        if (settlement.waiter.sink.get() == flushed) continue;
        flushed = settlement.waiter.sink.get();
        settlement.waiter.sink->flush();
      }
    });
  }
}

}  // namespace millrace::gateway
