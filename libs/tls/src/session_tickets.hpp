#pragma once

#include <millrace/tls/session.hpp>

#include "handles.hpp"

namespace millrace::tls {

/// Where the tickets of a client's connection arrive.
struct Session::Tickets {
  Ticket newest;
};

/// Makes the clients of the context hand their tickets to their Session.
void keep_tickets(SSL_CTX& context);

}  // namespace millrace::tls
