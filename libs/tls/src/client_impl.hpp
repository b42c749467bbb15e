#pragma once

#include <millrace/tls/client_context.hpp>

#include "handles.hpp"

namespace millrace::tls {

struct ClientContext::Impl {
  ContextHandle context;
};

}  // namespace millrace::tls
