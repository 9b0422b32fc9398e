#include "ops/conv/conv_shape.h"

#include <algorithm>

namespace fastnn {
namespace {

/// One value an axis, given as such or as one for all; none below `least`.
Dims per_axis(const char* op, const char* what, const Dims& given, int axes, int64_t least) {
  if (given.size() != 1 && given.size() != axes)
    throw ValueError(str(op, ": expected ", what, " as one number or ", axes, ", got ", given));
  Dims all;
  for (int i = 0; i < axes; ++i) {
    const int64_t v = given[given.size() == 1 ? 0 : i];
    if (v < least) throw ValueError(str(op, ": expected ", what, " >= ", least, ", got ", given));
    all.push_back(v);
  }
  return all;
}

/// Attributes but the padding, and the sizes of the kernel.
ConvShape common(const char* op, const Dims& taps, const ConvOptions& options) {
  ConvShape s;
  s.axes = taps.size();
  const Dims stride = per_axis(op, "stride", options.stride, s.axes, 1);
  const Dims dilation = per_axis(op, "dilation", options.dilation, s.axes, 1);
  for (int i = 0; i < s.axes; ++i) {
    const int a = 3 - s.axes + i;
    if (taps[i] < 1) throw ValueError(str(op, ": expected a kernel of at least one element an axis, got ", taps));
    s.taps[a] = taps[i], s.stride[a] = stride[i], s.dilation[a] = dilation[i];
  }
  return s;
}

/// Positions that a window covers.
int64_t span_of(const ConvShape& s, int a) { return checked_add(checked_mul(s.dilation[a], s.taps[a] - 1), 1); }

void set_padding(const char* op, ConvShape& s, const ConvPadding& padding) {
  const Dims before = per_axis(op, "padding", padding.before, s.axes, 0);
  const Dims after = per_axis(op, "padding", padding.after, s.axes, 0);
  for (int i = 0; i < s.axes; ++i) s.before[3 - s.axes + i] = before[i], s.after[3 - s.axes + i] = after[i];
}

}  // namespace

bool ConvShape::product() const {
  bool one = true, whole = true;
  for (int a = 0; a < 3; ++a) {
    const bool bare = before[a] == 0 && after[a] == 0;
    one = one && bare && taps[a] == 1 && stride[a] == 1 && in[a] == out[a];  // not with output padding
    whole = whole && bare && taps[a] == in[a] && (dilation[a] == 1 || taps[a] == 1);
  }
  return one || whole;
}

ConvShape conv_shape(const char* op, const Dims& in, const Dims& taps, const ConvOptions& options) {
  ConvShape s = common(op, taps, options);
  const std::string& word = options.padding.word;
  if (!word.empty() && word != "same" && word != "valid")
    throw ValueError(str(op, ": expected padding 'same', 'valid' or numbers, got '", word, "'"));
  if (word.empty()) set_padding(op, s, options.padding);
  for (int i = 0; i < s.axes; ++i) {
    const int a = 3 - s.axes + i;
    const int64_t span = span_of(s, a);
    s.in[a] = in[i];
    if (word == "same") {
      const int64_t out = in[i] == 0 ? 0 : (in[i] - 1) / s.stride[a] + 1;
      const int64_t total = std::max<int64_t>(checked_add((out - 1) * s.stride[a], span - in[i]), 0);
      s.before[a] = total / 2, s.after[a] = total - total / 2;
    }
    const int64_t padded = checked_add(checked_add(in[i], s.before[a]), s.after[a]);
    if (padded < span)
      throw ValueError(str(op, ": the window covers ", span, " positions of axis ", i + 1, ", more than its ", padded,
                           " (", in[i], " and padding ", s.before[a], " + ", s.after[a], ")"));
    s.out[a] = (padded - span) / s.stride[a] + 1;
  }
  return s;
}

ConvShape conv_transpose_shape(const char* op, const Dims& from, const Dims& taps, const ConvOptions& options) {
  ConvShape s = common(op, taps, options);
  if (!options.padding.word.empty())
    throw ValueError(str(op, ": expected padding as numbers, got '", options.padding.word, "'"));
  set_padding(op, s, options.padding);
  const Dims extra = per_axis(op, "output_padding", options.output_padding, s.axes, 0);
  for (int i = 0; i < s.axes; ++i) {
    const int a = 3 - s.axes + i;
    if (from[i] < 1) throw ValueError(str(op, ": expected at least one position an axis, got ", from));
    if (extra[i] >= std::max(s.stride[a], s.dilation[a]))
      throw ValueError(str(op, ": expected output_padding below the stride or the dilation, ", s.stride[a], " and ",
                           s.dilation[a], ", got ", extra[i]));
    const int64_t whole = checked_add(checked_add(checked_mul(from[i] - 1, s.stride[a]), span_of(s, a)), extra[i]);
    const int64_t padding = checked_add(s.before[a], s.after[a]);
    if (padding >= whole)
      throw ValueError(str(op, ": padding ", s.before[a], " + ", s.after[a], " leaves nothing of the ", whole,
                           " positions of axis ", i + 1));
    s.out[a] = from[i];
    s.in[a] = whole - padding;
  }
  return s;
}

}  // namespace fastnn
