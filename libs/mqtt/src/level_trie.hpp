// Topic names and topic filters by their levels (section 4.7): a tree whose edges are levels, with a value per node.
// Not thread-safe. Recursion and memory are bounded because nothing deeper than kMaximumLevels goes in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace millrace::mqtt {

/// Levels of a filter or of a retained topic; more is refused.
inline constexpr std::size_t kMaximumLevels = 128;

struct StringHash {
  using is_transparent = void;  // NOLINT(readability-identifier-naming): the standard's name
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

/// Walks the levels from left to right. A level may be empty: "/a" has two [MQTT-4.7.3-1].
class Levels {
 public:
  explicit Levels(std::string_view path) : rest_(path) {}
  bool done() const { return done_; }
  /// Precondition: not done().
  std::string_view next() {
    const std::size_t slash = rest_.find('/');
    const std::string_view level = rest_.substr(0, slash);
    if (slash == std::string_view::npos) {
      done_ = true;
    } else {
      rest_.remove_prefix(slash + 1);
    }
    return level;
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

inline std::size_t count_levels(std::string_view path) {
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/')) + 1;
}

/// What the levels of a path occupy at most, in bytes: a node for each, with its name in a hash table.
inline std::size_t trie_bytes(std::string_view path) { return 2 * path.size() + 192 * count_levels(path); }

/// `Value` is default-constructible and has empty(); nodes that are empty and have no children do not stay.
template <typename Value>
class LevelTrie {
 public:
  struct Node {
    Value value;
    Node* parent = nullptr;
    const std::string* name = nullptr;  ///< the parent's key for it
    Node* plus = nullptr;               ///< the child "+", which a match asks for at every level
    Node* hash = nullptr;               ///< the child "#"
    StringMap<std::unique_ptr<Node>> children;

    Node* child(std::string_view level) const {
      if (children.empty()) return nullptr;
      const auto found = children.find(level);
      return found == children.end() ? nullptr : found->second.get();
    }
  };

  bool empty() const { return root_.children.empty(); }
  const Node& root() const { return root_; }

  /// The node of that path, made where it is missing. Its address stays until prune().
  Node& make(std::string_view path) {
    Node* node = &root_;
    for (Levels levels(path); !levels.done();) node = &make_child(*node, levels.next());
    return *node;
  }

  Node* find(std::string_view path) {
    Node* node = &root_;
    for (Levels levels(path); !levels.done() && node != nullptr;) node = node->child(levels.next());
    return node;
  }

  /// Drops the node and what is above it, as far as nothing needs it.
  void prune(Node& leaf) {
    Node* node = &leaf;
    while (node->parent != nullptr && node->value.empty() && node->children.empty()) {
      Node* parent = node->parent;
      if (parent->plus == node) parent->plus = nullptr;
      if (parent->hash == node) parent->hash = nullptr;
      parent->children.erase(parent->children.find(*node->name));
      node = parent;
    }
  }

 private:
  static Node& make_child(Node& parent, std::string_view level) {
    if (Node* there = parent.child(level)) return *there;
    const auto made = parent.children.emplace(level, std::make_unique<Node>()).first;
    Node& child = *made->second;
    child.parent = &parent;
    child.name = &made->first;
    if (level == "+") parent.plus = &child;
    if (level == "#") parent.hash = &child;
    return child;
  }

  Node root_;
};

}  // namespace millrace::mqtt
