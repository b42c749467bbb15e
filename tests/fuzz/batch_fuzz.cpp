// The codec of the log's records under arbitrary bytes: what decodes is a fixed point, and the facts read alone are
// those of the whole.
#include <millrace/telemetry/batch.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {

void fuzz_one(std::string_view bytes) {
  using namespace millrace::telemetry;
  static BatchCodec codec;
  Batch batch;
  Batch facts;
  const bool has_facts = decode_facts(bytes, facts).ok();
  if (!codec.decode(bytes, batch).ok()) return;
  require(has_facts, "what decodes as a whole has facts");
  require(facts.ingest_id == batch.ingest_id && facts.delivery == batch.delivery && facts.tenant == batch.tenant &&
              facts.device == batch.device && facts.device_key == batch.device_key,
          "the facts are those of the whole");
  std::string once;
  std::string twice;
  Batch again;
  codec.encode(batch, once);
  require(codec.decode(once, again).ok(), "what was encoded decodes");
  codec.encode(again, twice);
  require(once == twice, "decoding and encoding is a fixed point");
}

}  // namespace millrace::fuzz
