#include "senml_json.hpp"

namespace millrace::telemetry {

namespace dom = simdjson::dom;

bool SenmlJsonDecoder::field(SenmlField field, dom::element element, SenmlRecord& out) {
  switch (element.type()) {
    case dom::element_type::INT64:
      return resolver_.set_number(out, field, {true, std::int64_t{element.get_int64().value_unsafe()}, 0});
    case dom::element_type::DOUBLE:
      return resolver_.set_number(out, field, {false, 0, double{element.get_double().value_unsafe()}});
    case dom::element_type::UINT64:
      return sink_->fail(PayloadFault::kIntegerRange,
                         "'" + std::string(to_string(field)) + "' is beyond the range of int64");
    case dom::element_type::STRING:
      return resolver_.set_text(out, field, element.get_string().value_unsafe());
    case dom::element_type::BOOL:
      return resolver_.set_bool(out, field, bool{element.get_bool().value_unsafe()});
    case dom::element_type::ARRAY:
    case dom::element_type::OBJECT:
    case dom::element_type::NULL_VALUE:
      break;
  }
  return resolver_.wrong_type(field);
}

bool SenmlJsonDecoder::record(dom::element element, SenmlRecord& out) {
  dom::object members;
  if (element.get_object().get(members) != simdjson::SUCCESS)
    return sink_->fail(PayloadFault::kShape, "a record must be an object");
  for (const auto [key, member] : members) {
    const auto known = senml_field(key);
    if (!(known ? field(*known, member, out) : resolver_.pass_over(key))) return false;
  }
  return true;
}

bool SenmlJsonDecoder::decode(std::string_view json, PointSink& sink) {
  sink_ = &sink;
  const auto root = parser_.parse(json, sink);
  if (!root) return false;
  dom::array records;
  if (root->get_array().get(records) != simdjson::SUCCESS)
    return sink.fail(PayloadFault::kShape, "a SenML pack is an array of records");
  resolver_.begin(sink);
  std::size_t index = 0;
  for (const dom::element element : records) {
    SenmlRecord one;
    if (!record(element, one)) return sink.fail_in(index);
    if (!resolver_.take(one)) return false;
    ++index;
  }
  return resolver_.finish();
}

}  // namespace millrace::telemetry
