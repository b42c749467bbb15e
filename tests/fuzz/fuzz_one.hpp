#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace millrace::fuzz {

/// The target: one input, from anywhere. Returns, or ends the process when a rule is broken.
void fuzz_one(std::string_view bytes);

/// Says which rule was broken and aborts, so that both libFuzzer and the replay notice.
inline void require(bool holds, const char* rule) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", rule);
  std::abort();
}

}  // namespace millrace::fuzz
