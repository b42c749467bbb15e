// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE on a connection that is gone.
#include <cerrno>
#include <cstdint>

#include <openssl/bio.h>
#include <sys/socket.h>

#include "handles.hpp"

namespace millrace::tls {
namespace {

int descriptor_of(BIO* bio) { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

bool try_again() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int write_bytes(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
  BIO_clear_retry_flags(bio);
  const ssize_t count = ::send(descriptor_of(bio), data, size, MSG_NOSIGNAL);
  if (count >= 0) {
    *written = static_cast<std::size_t>(count);
    return 1;
  }
  if (try_again()) BIO_set_retry_write(bio);
  return 0;
}

int read_bytes(BIO* bio, char* data, std::size_t size, std::size_t* read) {
  BIO_clear_retry_flags(bio);
  const ssize_t count = ::recv(descriptor_of(bio), data, size, 0);
  if (count > 0) {
    *read = static_cast<std::size_t>(count);
    return 1;
  }
  if (count < 0 && try_again()) BIO_set_retry_read(bio);
  if (count == 0) {
    errno = 0;
    BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  }
  return 0;
}

long control(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
  if (command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

const BIO_METHOD* method() {
  static const BIO_METHOD* made = [] {
    BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "millrace socket");
    if (fresh == nullptr) return fresh;
    BIO_meth_set_write_ex(fresh, write_bytes);
    BIO_meth_set_read_ex(fresh, read_bytes);
    BIO_meth_set_ctrl(fresh, control);
    return fresh;
  }();
  return made;
}

}  // namespace

bool attach_socket(SSL& ssl, int descriptor) {
  BIO* bio = method() == nullptr ? nullptr : BIO_new(method());
  if (bio == nullptr) return false;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): OpenSSL keeps a pointer, and a number needs no memory of its own
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor)));
  BIO_set_init(bio, 1);
  SSL_set_bio(&ssl, bio, bio);  // takes it
  return true;
}

}  // namespace millrace::tls
