#include "ops/pad/pad.h"

#include "autograd/op.h"
#include "ops/create/create.h"
#include "ops/elementwise/elementwise.h"
#include "ops/elementwise/operands.h"
#include "ops/index/index.h"
#include "ops/join/join.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

// The box [start, start + shape) of a tensor.
Tensor box(const Tensor& t, const Dims& start, const Dims& shape) {
  int64_t offset = t.impl()->offset;
  for (int i = 0; i < shape.size(); ++i) offset += start[i] * t.strides()[i];
  return alias(t, shape, t.strides(), offset);
}

struct ConstantPad {
  static constexpr const char* name = "pad";
  Dims from, shape, start_x, start_y, common;  // the box that x and y have in common, and where it starts in each
  void check(const Tensor& x, const Dims& before, const Dims& after, Scalar) {
    from = x.shape();
    for (int i = 0; i < from.size(); ++i) {
      const int64_t n = checked_add(checked_add(from[i], before[i]), after[i]);
      if (n < 0)
        throw ValueError(
            str("pad: (", before[i], ", ", after[i], ") crops more than axis ", i, " of shape ", from, " has"));
      shape.push_back(n);
      start_x.push_back(before[i] < 0 ? (before[i] < -from[i] ? from[i] : -before[i]) : 0);
      start_y.push_back(before[i] > 0 ? before[i] : 0);
      const int64_t left = from[i] - start_x[i] + (after[i] < 0 ? after[i] : 0);
      common.push_back(left > 0 ? left : 0);
    }
  }
  Tensor forward(Saved&, const Tensor& x, const Dims&, const Dims&, Scalar value) {
    const Tensor y = empty(shape, x.dtype());
    if (shape != common) fill_into(y, value);
    move(y, start_y, x, start_x);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = from == common ? empty(from, dy[0].dtype()) : zeros(from, dy[0].dtype());
    move(dx[0], start_x, dy[0], start_y);
  }
  void move(const Tensor& to, const Dims& start_to, const Tensor& src, const Dims& start_src) const {
    if (numel_of(common)) copy_into(box(to, start_to, common), box(src, start_src, common));
  }
};

struct Unfold {
  static constexpr const char* name = "unfold";
  Dims from;
  int64_t axis = 0, size = 0, step = 0;
  void check(const Tensor& x, int64_t a, int64_t s, int64_t st) { from = x.shape(), axis = a, size = s, step = st; }
  Tensor forward(Saved&, const Tensor& x, int64_t, int64_t, int64_t) {
    Dims shape = x.shape(), strides = x.strides();
    shape[axis] = (shape[axis] - size) / step + 1;
    shape.push_back(size);
    strides.push_back(strides[axis]);
    strides[axis] = shape[axis] > 1 ? checked_mul(strides[axis], step) : strides[axis];
    const Tensor y = alias(x, shape, strides, x.impl()->offset);
    set_view(y, x);
    return y;
  }
  // Windows overlap: one position of all windows at a time, which meet nowhere.
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor g = zeros(from, dy[0].dtype());
    Dims shape = from, strides = g.strides(), dy_strides = dy[0].strides();
    shape[axis] = dy[0].shape()[axis];
    strides[axis] = shape[axis] > 1 ? strides[axis] * step : strides[axis];
    dy_strides.erase(from.size());
    for (int64_t k = 0; k < size && numel_of(shape) > 0; ++k)
      add_into(alias(g, shape, strides, k * g.strides()[axis]),
               alias(dy[0], shape, dy_strides, dy[0].impl()->offset + k * dy[0].strides()[from.size()]));
    dx[0] = g;
  }
};

struct DiagEmbed {
  static constexpr const char* name = "diag_embed";
  int64_t offset = 0, a = 0, b = 0;
  void check(const Tensor&, int64_t o, int64_t d1, int64_t d2) { offset = o, a = d1, b = d2; }
  Tensor forward(Saved&, const Tensor& x, int64_t, int64_t, int64_t) {
    Dims shape = x.shape();
    const int64_t n = checked_add(shape.back(), offset < 0 ? -offset : offset);
    shape.erase(shape.size() - 1);
    shape.insert(a < b ? a : b, n);
    shape.insert(a < b ? b : a, n);
    const Tensor y = zeros(shape, x.dtype());
    if (x.numel()) copy_into(diagonal(y, offset, a, b), x);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = clone(diagonal(dy[0], offset, a, b));
  }
};

// One axis extended by elements of its own.
Tensor extend(const Tensor& x, int64_t axis, int64_t before, int64_t after, const std::string& mode) {
  const int64_t n = x.shape()[axis];
  const PadBorder border = mode == "reflect"     ? PadBorder::reflect
                           : mode == "replicate" ? PadBorder::replicate
                                                 : PadBorder::circular;
  const int64_t most = border == PadBorder::reflect ? n - 1 : border == PadBorder::circular ? n : n > 0 ? INT64_MAX : 0;
  if (before > most || after > most)
    throw ValueError(str("pad: mode ", mode, " can extend axis ", axis, " of shape ", x.shape(), " by at most ",
                         most < 0 ? 0 : most, ", got (", before, ", ", after, ")"));
  const DeviceGuard here(x.device());
  const Tensor positions = empty({checked_add(checked_add(n, before), after)}, DType::int64);
  launch(kernels::pad_positions, positions.data<int64_t>(), n, before, positions.numel(), border);
  return index(x, {positions}, {axis}, "pad");
}

// repeats[i] times i.
void repeat_positions(int64_t* out, const int64_t* repeats, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < repeats[i]; ++k) *out++ = i;
}

}  // namespace

Tensor pad(const Tensor& x, const Dims& amounts, const std::string& mode, Scalar value) {
  if (amounts.size() % 2 != 0 || amounts.size() / 2 > x.dim())
    throw ValueError(str("pad: expected pairs (before, after) for at most ", x.dim(), " axes of shape ", x.shape(),
                         ", got ", amounts));
  Dims before(x.dim(), 0), after(x.dim(), 0);
  for (int i = 0; i < amounts.size() / 2; ++i) {
    before[x.dim() - 1 - i] = amounts[2 * i];
    after[x.dim() - 1 - i] = amounts[2 * i + 1];
  }
  if (mode == "constant") {
    number_as("pad", value, x.dtype());
    return apply<ConstantPad>(x, before, after, value);
  }
  if (mode != "reflect" && mode != "replicate" && mode != "circular")
    throw ValueError(str("pad: mode must be constant, reflect, replicate or circular, got ", mode));
  Tensor y = x;
  Dims crop_before(x.dim(), 0), crop_after(x.dim(), 0);
  bool crops = false;
  for (int i = 0; i < x.dim(); ++i) {
    crops = crops || before[i] < 0 || after[i] < 0;
    if (before[i] < 0) crop_before[i] = before[i], before[i] = 0;
    if (after[i] < 0) crop_after[i] = after[i], after[i] = 0;
    if (before[i] > 0 || after[i] > 0) y = extend(y, i, before[i], after[i], mode);
  }
  if (crops) return apply<ConstantPad>(y, crop_before, crop_after, Scalar(0));
  return y.impl() == x.impl() ? clone(x) : y;
}

Tensor flip(const Tensor& x, const Dims& dims) { return clone(flip_view(x, dims)); }

Tensor roll(const Tensor& x, const Dims& shifts, const std::optional<Dims>& dims) {
  if (!dims || dims->empty()) {
    if (shifts.size() != 1) throw ValueError(str("roll: expected one shift where dims is not given, got ", shifts));
    return reshape(roll(reshape(x, {-1}), shifts, Dims{0}), x.shape());
  }
  if (shifts.size() != dims->size())
    throw ValueError(str("roll: expected as many shifts as dims, got ", shifts, " and ", *dims));
  Tensor y = x;
  for (int i = 0; i < shifts.size(); ++i) {
    const int64_t axis = normalize_axis("roll", (*dims)[i], x.dim());
    const int64_t n = x.dim() ? x.shape()[axis] : 1;
    const int64_t shift = n ? (shifts[i] % n + n) % n : 0;
    if (shift) y = cat({slice(y, axis, n - shift, shift, 1), slice(y, axis, 0, n - shift, 1)}, axis, "roll");
  }
  return y.impl() == x.impl() ? clone(x) : y;
}

Tensor repeat(const Tensor& given, const Dims& sizes, const char* op) {
  if (sizes.size() < given.dim())
    throw ValueError(
        str(op, ": expected at least ", given.dim(), " numbers for shape ", given.shape(), ", got ", sizes));
  for (int64_t r : sizes)
    if (r < 0) throw ValueError(str(op, ": numbers of repetitions must be >= 0, got ", sizes));
  Dims shape = given.shape();
  while (shape.size() < sizes.size()) shape.insert(0, 1);
  Tensor x = reshape(given, shape);
  int repeated = 0;
  for (int64_t r : sizes) repeated += r != 1;
  if (sizes.size() + repeated <= kMaxRank) {  // [.., n, ..] as [.., r, n, ..]
    Dims split, wide, joined;
    for (int i = 0; i < sizes.size(); ++i) {
      if (sizes[i] != 1) split.push_back(1), wide.push_back(sizes[i]);
      split.push_back(shape[i]), wide.push_back(shape[i]);
      joined.push_back(checked_mul(sizes[i], shape[i]));
    }
    x = reshape(expand(reshape(x, split), wide), joined);
  } else {
    for (int i = 0; i < sizes.size(); ++i) {
      if (sizes[i] == 0) x = slice(x, i, 0, 0, 1);
      if (sizes[i] > 1) x = cat(std::vector<Tensor>(sizes[i], x), i, op);
    }
  }
  return x.impl()->storage == given.impl()->storage ? clone(x) : x;
}

Tensor repeat_interleave(const Tensor& x, int64_t repeats, std::optional<int64_t> dim) {
  if (repeats < 0) throw ValueError(str("repeat_interleave: repeats must be >= 0, got ", repeats));
  if (!dim) return repeat_interleave(reshape(x, {-1}), repeats, 0);
  const int64_t axis = normalize_axis("repeat_interleave", *dim, x.dim());
  Dims wide = x.dim() ? x.shape() : Dims{1}, joined = wide;
  joined[axis] = checked_mul(joined[axis], repeats);
  wide.insert(axis + 1, repeats);
  const Tensor source = x.dim() ? x : reshape(x, {1});
  const Tensor y = reshape(expand(unsqueeze(source, axis + 1), wide), joined);
  return y.impl()->storage == x.impl()->storage ? clone(y) : y;
}

Tensor repeat_interleave(const Tensor& x, const Tensor& given, std::optional<int64_t> dim) {
  const Tensor repeats = as_index("repeat_interleave", joined("repeat_interleave", x.device(), given));
  if (!dim) return repeat_interleave(reshape(x, {-1}), given, 0);
  if (x.dim() == 0) return repeat_interleave(reshape(x, {1}), given, dim);
  const int64_t axis = normalize_axis("repeat_interleave", *dim, x.dim()), n = x.shape()[axis];
  if (repeats.dim() > 1 || (repeats.numel() != 1 && repeats.numel() != n))
    throw ValueError(
        str("repeat_interleave: expected one number of repeats or ", n, " of them, got shape ", repeats.shape()));
  refuse_in_capture("repeat_interleave by a tensor: a shape depends on data");
  const Tensor each = contiguous(expand(on_cpu(repeats), {n}));
  Tensor positions;
  {
    const DeviceGuard host(kCpu);
    const int64_t* const times = each.data<int64_t>();
    int64_t total = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (times[i] < 0) throw ValueError("repeat_interleave: repeats must be >= 0");
      total = checked_add(total, times[i]);
    }
    positions = empty({total}, DType::int64);
    launch_host(&repeat_positions, positions.data<int64_t>(), times, n);
  }
  return index(x, {to_device(positions, x.device())}, {axis}, "repeat_interleave");
}

Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step) {
  if (x.dim() == 0) throw ValueError("unfold: expected at least 1 dimension, got a 0-d tensor");
  const int64_t axis = normalize_axis("unfold", dim, x.dim()), n = x.shape()[axis];
  if (size < 0 || size > n) throw ValueError(str("unfold: size must be in [0, ", n, "], got ", size));
  if (step <= 0) throw ValueError(str("unfold: step must be > 0, got ", step));
  return apply<Unfold>(x, axis, size, step);
}

Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
  if (x.dim() == 0) throw ValueError("diag_embed: expected at least 1 dimension, got a 0-d tensor");
  const int64_t a = normalize_axis("diag_embed", dim1, x.dim() + 1),
                b = normalize_axis("diag_embed", dim2, x.dim() + 1);
  if (a == b) throw ValueError("diag_embed: dim1 and dim2 must differ");
  if (offset == INT64_MIN) throw OverflowError("diag_embed: the size overflows int64");
  return apply<DiagEmbed>(x, offset, a, b);
}

}  // namespace fastnn
