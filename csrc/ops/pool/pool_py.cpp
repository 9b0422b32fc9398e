#include <array>
#include <variant>

#include "ops/pool/pool.h"
#include "python/bind.h"

namespace fastnn {
namespace {

using Padding = std::variant<Dims, std::string>;
using OneOrTwo = std::variant<Tensor, std::tuple<Tensor, Tensor>>;
// One size, or one an axis; None keeps the size of x.
using Sizes = std::variant<int64_t, std::vector<std::optional<int64_t>>>;

PoolArgs arguments(const char* op, const Dims& kernel, const OptionalDims& stride, const Padding& padding,
                   const Dims& dilation, bool ceil_mode) {
  PoolArgs a{kernel, dims_or_all(stride), {0}, dilation, false, ceil_mode};
  if (const Dims* p = std::get_if<Dims>(&padding)) {
    a.padding = *p;
  } else {
    const std::string& name = std::get<std::string>(padding);
    if (name != "same" && name != "valid")
      throw ValueError(str(op, ": padding expects numbers, 'same' or 'valid', got '", name, "'"));
    a.same = name == "same";
  }
  return a;
}

Dims sizes(const char* op, const Sizes& given) {
  if (const int64_t* n = std::get_if<int64_t>(&given)) {
    if (*n < 0) throw ValueError(str(op, ": output_size expects numbers from 0 on, got ", *n));
    return {*n};
  }
  Dims out;
  for (const auto& n : std::get<1>(given)) {
    if (n && *n < 0) throw ValueError(str(op, ": output_size expects numbers from 0 on, got ", *n));
    out.push_back(n ? *n : -1);
  }
  return out;
}

OneOrTwo result(const MaxPooled& p) {
  if (!p.indices.defined()) return p.values;
  return std::make_tuple(p.values, p.indices);
}

const char* const kMaxDoc = R"(Largest value of every window. Channels last: x is {shape}; N may be absent.

Parameters
----------
kernel_size, stride, padding, dilation : int or sequence of int
    One number, or one an axis. stride: the kernel's size by default. padding: cells of -inf before and after x, at most
    half a window; or 'same' (output ceil(size / stride), the odd cell of padding at the end) or 'valid'.
ceil_mode : bool
    Round the output's size up; the last window still starts inside x or its left padding.
return_indices : bool
    Also return where each maximum is.

Returns
-------
Tensor, or (Tensor, Tensor)
    NaN where a window holds one. The indices (int64) number the positions of an image in row-major order, as
    `max_unpool` takes them; they are -1 for a window that holds nothing but padding.

Raises
------
ValueError
    For a window larger than the padded x, sizes below 1, or too much padding.
TypeError
    Unless x is float32 or float64.)";

const char* const kAvgDoc = R"(Mean of every window. Channels last: x is {shape}; N may be absent.

Parameters
----------
kernel_size, stride, padding : int or sequence of int
    As `{max}`; padding cells count as zeros.
ceil_mode : bool
    Round the output's size up; the last window still starts inside x or its left padding.
count_include_pad : bool
    Divide by the window with its padding, else by its cells inside x.{divisor}

Raises
------
ValueError, TypeError
    As `{max}`.)";

const char* const kAdaptiveDoc = R"({What} over out windows an axis, [floor(o in / out), ceil((o + 1) in / out)).

x is {shape}, channels last; N may be absent.

Parameters
----------
output_size : int or sequence of int or None
    One number, or one an axis; None keeps the size of x.{indices})";

const char* const kUnpoolDoc = R"(The inverse of `{max}` as far as there is one: zeros, and x where the maxima were.

Parameters
----------
x : Tensor
    {shape}, channels last; N may be absent.
indices : Tensor
    Integers of the shape of x, as `{max}` returns them. Of several values for one place the last one stays; the
    gradient of each is that of the place.
kernel_size, stride, padding : int or sequence of int
    Those of the pooling: they give the output's size, (in - 1) * stride - 2 * padding + kernel_size.
output_size : sequence of int, optional
    Another size, less than a stride away from that.

Raises
------
IndexError
    For an index outside the output, before anything is written.)";

// The text with every {name} replaced.
std::string filled(std::string text, std::initializer_list<std::pair<const char*, std::string>> words) {
  for (const auto& [name, word] : words) {
    const std::string key = "{" + std::string(name) + "}";
    for (size_t at; (at = text.find(key)) != std::string::npos;) text.replace(at, key.size(), word);
  }
  return text;
}

template <int kSpatial>
void bind_spatial(Binder& b) {
  static const std::string d = std::to_string(kSpatial) + "d";
  static const std::string max = "max_pool" + d, avg = "avg_pool" + d, adaptive_max = "adaptive_max_pool" + d,
                           adaptive_avg = "adaptive_avg_pool" + d, unpool = "max_unpool" + d;
  const std::string shape = kSpatial == 1 ? "[N, L, C]" : kSpatial == 2 ? "[N, H, W, C]" : "[N, D, H, W, C]";

  b.function(
      max.c_str(),
      [](const Tensor& x, const Dims& kernel, const OptionalDims& stride, const Padding& padding, const Dims& dilation,
         bool ceil_mode, bool return_indices) {
        const char* op = max.c_str();
        return result(
            max_pool(op, x, kSpatial, arguments(op, kernel, stride, padding, dilation, ceil_mode), return_indices));
      },
      "x"_a, "kernel_size"_a, "stride"_a = py::none(), "padding"_a = 0, "dilation"_a = 1, "ceil_mode"_a = false,
      "return_indices"_a = false, filled(kMaxDoc, {{"shape", shape}}).c_str());

  const auto average = [](const Tensor& x, const Dims& kernel, const OptionalDims& stride, const Padding& padding,
                          bool ceil_mode, bool count_include_pad, const std::optional<int64_t>& divisor_override) {
    const char* op = avg.c_str();
    return avg_pool(op, x, kSpatial, arguments(op, kernel, stride, padding, {1}, ceil_mode), count_include_pad,
                    divisor_override);
  };
  b.function(avg.c_str(), average, "x"_a, "kernel_size"_a, "stride"_a = py::none(), "padding"_a = 0,
             "ceil_mode"_a = false, "count_include_pad"_a = true, "divisor_override"_a = py::none(),
             filled(kAvgDoc, {{"shape", shape},
                              {"max", max},
                              {"divisor", "\ndivisor_override : int, optional\n    Divide by this instead."}})
                 .c_str());

  b.function(
      adaptive_max.c_str(),
      [](const Tensor& x, const Sizes& output_size, bool return_indices) {
        const char* op = adaptive_max.c_str();
        return result(adaptive_max_pool(op, x, kSpatial, sizes(op, output_size), return_indices));
      },
      "x"_a, "output_size"_a, "return_indices"_a = false,
      filled(kAdaptiveDoc,
             {{"What", "Maxima"},
              {"shape", shape},
              {"indices", "\nreturn_indices : bool\n    Also return where each maximum is, as `" + max + "` does."}})
          .c_str());
  b.function(
      adaptive_avg.c_str(),
      [](const Tensor& x, const Sizes& output_size) {
        const char* op = adaptive_avg.c_str();
        return adaptive_avg_pool(op, x, kSpatial, sizes(op, output_size));
      },
      "x"_a, "output_size"_a, filled(kAdaptiveDoc, {{"What", "Means"}, {"shape", shape}, {"indices", ""}}).c_str());

  b.function(
      unpool.c_str(),
      [](const Tensor& x, const Tensor& indices, const Dims& kernel, const OptionalDims& stride, const Dims& padding,
         const OptionalDims& output_size) {
        return max_unpool(unpool.c_str(), x, indices, kSpatial,
                          {kernel, dims_or_all(stride), padding, {1}, false, false}, dims_or_all(output_size));
      },
      "x"_a, "indices"_a, "kernel_size"_a, "stride"_a = py::none(), "padding"_a = 0, "output_size"_a = py::none(),
      filled(kUnpoolDoc, {{"shape", shape}, {"max", max}}).c_str());
}

}  // namespace

void bind_pool(Binder& b) {
  bind_spatial<1>(b);
  bind_spatial<2>(b);
  bind_spatial<3>(b);
}

}  // namespace fastnn
