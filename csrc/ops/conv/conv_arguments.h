#pragma once
// Arguments of convolutions as Python gives them.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ops/conv/conv.h"

namespace fastnn {

/// padding=: a word, numbers, or (before, after) pairs.
using PaddingArgument = std::variant<std::string, Dims, std::vector<Dims>>;

inline ConvPadding padding_of(const char* op, const PaddingArgument& given) {
  ConvPadding p;
  if (const auto* word = std::get_if<std::string>(&given)) {
    if (word->empty()) throw ValueError(str(op, ": expected padding 'same', 'valid' or numbers, got ''"));
    p.word = *word;
  } else if (const auto* numbers = std::get_if<Dims>(&given)) {
    p.before = p.after = *numbers;
  } else {
    p.before.clear(), p.after.clear();
    for (const Dims& pair : std::get<std::vector<Dims>>(given)) {
      if (pair.size() != 2) throw ValueError(str(op, ": expected padding as pairs (before, after), got ", pair));
      p.before.push_back(pair[0]), p.after.push_back(pair[1]);
    }
  }
  return p;
}

}  // namespace fastnn
