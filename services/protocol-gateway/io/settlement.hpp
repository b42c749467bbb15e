#pragma once

#include "ingest/message.hpp"

namespace millrace::gateway {

/// One outcome on its way to the thread of its waiter.
struct Settlement {
  Waiter waiter;
  Outcome outcome;
};

}  // namespace millrace::gateway
