// What a thread has to call once it has let go of the broker's tables: wakes, the ends of connections, wills.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <millrace/mqtt/broker.hpp>

namespace millrace::mqtt {

using Wake = std::shared_ptr<const std::function<void()>>;

/// A connection that has lost its session. What it holds is destroyed without a lock too: a closure may own a
/// connection whose destructor comes back to the broker.
struct Ending {
  std::function<void(ReasonCode, const char*)> end;
  std::optional<ReasonCode> reason;  ///< none: the connection knows, `end` is only to be destroyed
  const char* why = "";
  Wake wake;
  std::shared_ptr<Session> session;
};

struct DueWill {
  WillSink sink;
  std::string client_id;
  MessagePtr message;
};

/// One per thread. While `holding`, wakes are put off (wake() is what a Session calls); run() calls everything.
///
/// A callback may come back to a broker, and that call has its own callbacks. They join the list of the call that is
/// running the list already, so that wills which overflow sessions which have wills do not nest.
class Afterwards {
 public:
  static Afterwards& of_this_thread() {
    static thread_local Afterwards mine;
    return mine;
  }

  bool holding = false;
  std::vector<Ending> endings;
  std::vector<DueWill> wills;

  void wake(const Wake& wake) {
    if (holding) {
      wakes_.push_back(wake);
    } else {
      (*wake)();
    }
  }

  void run() {
    if (running_ || (wakes_.empty() && endings.empty() && wills.empty())) return;
    running_ = true;
    while (!(wakes_.empty() && endings.empty() && wills.empty())) {
      drain(wakes_, [](const Wake& wake) { (*wake)(); });
      drain(endings, [](const Ending& ending) {
        if (ending.reason && ending.end) ending.end(*ending.reason, ending.why);
      });
      drain(wills, [](const DueWill& will) { will.sink(will.client_id, will.message); });
    }
    running_ = false;
  }

 private:
  /// The list may grow meanwhile.
  template <typename Item, typename Call>
  static void drain(std::vector<Item>& list, Call call) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Item item = std::move(list[i]);
      call(item);
    }
    list.clear();
  }

  std::vector<Wake> wakes_;
  bool running_ = false;
};

/// Holds the tables (`Lock` is a std::unique_lock or std::shared_lock of them); when it goes, lets go of them and runs
/// what has to be done afterwards. Callbacks must not throw.
template <typename Lock>
class Section {
 public:
  explicit Section(typename Lock::mutex_type& mutex) : lock_(mutex) { after.holding = true; }
  ~Section() {
    after.holding = false;
    lock_.unlock();
    after.run();
  }
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  Afterwards& after = Afterwards::of_this_thread();

 private:
  Lock lock_;
};

}  // namespace millrace::mqtt
