#pragma once

#include <mutex>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <millrace/http/server.hpp>

#include "eventually.hpp"
#include "raw_http.hpp"

namespace millrace::http {

/// A server on two io threads. `/echo` answers with method, path and body; `/later` keeps the responder for the test;
/// `/drop` lets go of it.
class ServerTest : public ::testing::Test {
 protected:
  void start(ServerSettings settings = {}) {
    settings.address = {"127.0.0.1", 0};
    Observer observer;
    observer.refused = [this](std::string_view reason) {
      const std::lock_guard lock(mutex_);
      refused_.emplace_back(reason);
    };
    auto server = Server::start(
        settings, contexts_, [this](const Request& request, const Responder& responder) { handle(request, responder); },
        observer);
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = std::move(*server);
    for (auto& io : io_) threads_.emplace_back([&io] { io.run(); });
  }
  void TearDown() override {
    kept_.clear();
    if (server_) server_->close();
    for (auto& io : io_) io.stop();
    threads_.clear();
  }
  void handle(const Request& request, const Responder& responder) {
    if (request.path() == "/later") {
      const std::lock_guard lock(mutex_);
      kept_.push_back(responder);
      return;
    }
    if (request.path() == "/drop") return;
    responder.send({200,
                    "text/plain",
                    std::string(to_string(request.method())) + " " + std::string(request.path()) + " " +
                        std::string(request.body()),
                    {}});
  }
  std::size_t kept() {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }
  std::vector<std::string> refused() {
    const std::lock_guard lock(mutex_);
    return refused_;
  }

  std::vector<boost::asio::io_context> io_{2};
  std::vector<boost::asio::io_context*> contexts_{&io_[0], &io_[1]};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_0_{io_[0].get_executor()};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_1_{io_[1].get_executor()};
  std::unique_ptr<Server> server_;
  std::vector<std::jthread> threads_;
  std::mutex mutex_;
  std::vector<Responder> kept_;
  std::vector<std::string> refused_;
};

}  // namespace millrace::http
