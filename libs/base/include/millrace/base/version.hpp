#pragma once

namespace millrace {

/// `0.1.0 (<tag and commit>)`; defined by the library millrace_version, which every program links.
extern const char* const kVersion;

}  // namespace millrace
