#pragma once

#include <functional>
#include <utility>

#include <millrace/postgres/pool.hpp>

namespace millrace::query_api {

/// How long the answer to a call may take, and whether somebody still waits for it: a statement of one who went away is
/// cancelled in the database within about 20 ms.
struct Patience {
  postgres::Clock::time_point deadline;
  std::function<bool()> gave_up = {};  ///< must not block; empty: nobody gives up

  [[nodiscard]] Result<postgres::Pool::Lease> acquire(postgres::Pool& pool) const {
    return pool.acquire(deadline, gave_up);
  }
};

}  // namespace millrace::query_api
