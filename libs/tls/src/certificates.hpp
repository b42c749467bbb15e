#pragma once

#include <vector>

#include <millrace/tls/server_context.hpp>

#include "handles.hpp"
#include "ticket_keys.hpp"

namespace millrace::tls {

/// What one reading of the files gave: a context for each key pair, whose first chooses among them by SNI.
struct ServerContext::Certificates {
  std::vector<ContextHandle> contexts;
};

}  // namespace millrace::tls
