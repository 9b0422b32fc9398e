#include "ops/index/index.h"

#include <climits>
#include <numeric>

#include "autograd/op.h"
#include "ops/create/create.h"
#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

bool neighbours(const Dims& axes) {
  for (int i = 1; i < axes.size(); ++i)
    if (axes[i] != axes[i - 1] + 1) return false;
  return true;
}

// The axes of x that are not indexed, before (0) and after (1) the place of the index block.
void rest_of(int64_t rank, const Dims& axes, Dims out[2]) {
  const int64_t at = neighbours(axes) ? axes[0] : 0;
  for (int64_t i = 0, k = 0; i < rank; ++i)
    if (k < axes.size() && axes[k] == i)
      ++k;
    else
      out[i >= at].push_back(i);
}

Dims block_shape(const std::vector<Tensor>& indices) {
  Dims shape;
  for (const Tensor& i : indices) shape = broadcast_shapes("index", shape, i.shape());
  return shape;
}

void throw_if_bad(const char* op, const BadIndex* bad, int64_t blocks, int64_t axis, int64_t size) {
  for (int64_t t = 0; t < blocks; ++t)
    if (bad[t].found)
      throw IndexError(str(op, ": index ", bad[t].value, " is out of bounds for axis ", axis, " with size ", size));
}

// What a kernel found, looked at before anything is written.
class Findings {
 public:
  explicit Findings(int64_t n)
      : blocks_((n + kIndexGrain - 1) / kIndexGrain), memory_(empty({blocks_ * 2}, DType::int64)) {}
  BadIndex* data() const { return reinterpret_cast<BadIndex*>(memory_.data<int64_t>()); }
  void check(const char* op, int64_t axis, int64_t size) const {
    if (blocks_ == 0) return;
    check_on_cpu(memory_, [&](const Tensor& here) {
      launch_host(&throw_if_bad, op, reinterpret_cast<const BadIndex*>(here.data<int64_t>()), blocks_, axis, size);
    });
  }

 private:
  int64_t blocks_;
  Tensor memory_;
};

// One int64 number of elements per position of the index block; IndexError before anything is done with them.
Tensor offsets_of(const char* op, const std::vector<Tensor>& indices, const Dims& axes, const Dims& shape,
                  const Dims& strides) {
  const Dims block = block_shape(indices);
  const Tensor offsets = empty({numel_of(block)}, DType::int64);
  const int64_t n = offsets.numel();
  const Findings bad(n);
  for (size_t k = 0; k < indices.size(); ++k) {
    const Tensor& given = indices[k];
    const Tensor i = given.shape() == block ? given : contiguous(expand(given, block));
    const int64_t size = shape[axes[k]];
    launch(kernels::index_offsets, offsets.data<int64_t>(), bad.data(), i.data<int64_t>(), n, size, strides[axes[k]],
           k > 0);
    bad.check(op, axes[k], size);
  }
  return offsets;
}

// Adds an axis to a group, merged with the one before where both tensors step evenly over the two.
void add_axis(IndexLoop& loop, int group, int64_t size, int64_t x_stride, int64_t y_stride) {
  if (size == 1) return;
  int32_t& r = loop.rank[group];
  if (r > 0 && loop.x_strides[group][r - 1] == size * x_stride && loop.y_strides[group][r - 1] == size * y_stride) {
    loop.shape[group][r - 1] *= size;
    --r;
  } else {
    loop.shape[group][r] = size;
  }
  loop.x_strides[group][r] = x_stride;
  loop.y_strides[group][r] = y_stride;
  ++r;
}

// The stride of the axes [first, first + rank) of y as one axis; false where they do not step evenly.
bool block_step(const Tensor& y, int64_t first, int64_t rank, int64_t& step) {
  int64_t run = 1;
  step = 0;
  bool open = false;
  for (int64_t i = first + rank - 1; i >= first; --i) {
    if (y.shape()[i] == 1) continue;
    if (open && y.strides()[i] != step * run) return false;
    if (!open) step = y.strides()[i];
    open = true;
    run *= y.shape()[i];
  }
  return true;
}

// x: the indexed tensor's shape and strides; y: a tensor of the result's shape whose index block steps evenly.
IndexLoop make_loop(const Dims& shape, const Dims& strides, const Dims& axes, const Tensor& y, int64_t block_rank) {
  IndexLoop loop{};
  Dims rest[2];
  rest_of(shape.size(), axes, rest);
  const int64_t first = rest[0].size();
  block_step(y, first, block_rank, loop.y_step);
  loop.n = 1;
  for (int64_t i = first; i < first + block_rank; ++i) loop.n *= y.shape()[i];
  int64_t extent = 0;
  for (int64_t a : axes) {
    if (shape[a] <= 1) continue;
    const int64_t reach = (shape[a] - 1) * strides[a];
    loop.step = std::gcd(loop.step, strides[a]);
    loop.low += reach < 0 ? reach : 0;
    extent += reach < 0 ? -reach : reach;
  }
  if (loop.step == 0) loop.step = 1;
  loop.places = extent / loop.step + 1;
  for (int g = 0; g < 2; ++g)
    for (int i = 0; i < rest[g].size(); ++i) {
      const int64_t axis = rest[g][i];
      add_axis(loop, g, shape[axis], strides[axis], y.strides()[g == 0 ? i : first + block_rank + i]);
    }
  return loop;
}

// y = x[indices], no history.
Tensor get(const char* op, const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes) {
  const Tensor offsets = offsets_of(op, indices, axes, x.shape(), x.strides());
  Tensor y = empty(index_shape(x, indices, axes), x.dtype());
  const IndexLoop loop = make_loop(x.shape(), x.strides(), axes, y, block_shape(indices).size());
  if (y.numel()) launch(kernels::index_get, y.raw(), x.raw(), offsets.data<int64_t>(), x.itemsize(), loop);
  return y;
}

// x[indices] = or += value, no history; value has x's dtype and broadcasts to the indexed shape.
void put(const char* op, const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes, const Tensor& value,
         bool accumulate) {
  const Tensor offsets = offsets_of(op, indices, axes, x.shape(), x.strides());
  const Dims shape = index_shape(x, indices, axes);
  Tensor y = value.shape() == shape ? value.detach() : expand(value.detach(), shape);
  if (y.numel() == 0) return;
  Dims rest[2];
  rest_of(x.dim(), axes, rest);
  const int block_rank = block_shape(indices).size();
  int64_t step;
  if (!block_step(y, rest[0].size(), block_rank, step) || may_share_memory(x, y)) y = clone(y);
  const IndexLoop loop = make_loop(x.shape(), x.strides(), axes, y, block_rank);
  if (accumulate)
    launch(kernels::index_accumulate, x.raw(), y.raw(), offsets.data<int64_t>(), static_cast<int>(x.dtype()), loop);
  else
    launch(kernels::index_set, x.raw(), y.raw(), offsets.data<int64_t>(), x.itemsize(), loop);
}

void keep_all(Saved& saved, const std::vector<Tensor>& list) {
  for (const Tensor& t : list) saved.keep(t);
}
std::vector<Tensor> kept(const Saved& saved) {
  std::vector<Tensor> list;
  for (size_t i = 0; i < saved.size(); ++i) list.push_back(saved[i]);
  return list;
}

struct Index {
  static constexpr const char* name = "index";
  Dims from, axes;
  void check(const Tensor& x, const std::vector<Tensor>&, const Dims& a, const char*) { from = x.shape(), axes = a; }
  Tensor forward(Saved& saved, const Tensor& x, const std::vector<Tensor>& indices, const Dims&, const char* op) {
    keep_all(saved, indices);
    return get(op, x, indices, axes);
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = zeros(from, dy[0].dtype());
    put(name, dx[0], kept(saved), axes, dy[0], true);
  }
};

// In place it writes into the memory of x, and what it returns is x's memory with the new history.
struct IndexPut {
  static constexpr const char* name = "index_put";
  struct Options {
    const char* op;
    bool accumulate, inplace;
  };
  Dims axes, value_shape;
  bool accumulate = false;
  void check(const Tensor&, const Tensor& value, const std::vector<Tensor>&, const Dims& a, const Options& o) {
    axes = a, value_shape = value.shape(), accumulate = o.accumulate;
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& value, const std::vector<Tensor>& indices, const Dims&,
                 const Options& o) {
    keep_all(saved, indices);
    const Tensor y = o.inplace ? x.detach() : clone(x.detach());
    put(o.op, y, indices, axes, value, accumulate);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const std::vector<Tensor> indices = kept(saved);
    if (dx.needs(1)) {
      Tensor dv = get(name, dy[0], indices, axes);
      if (!accumulate) keep_last(dv, dy[0], indices);
      dx[1] = sum_to(dv, value_shape);
    }
    if (!dx.needs(0)) return;
    dx[0] = dy[0];
    if (accumulate) return;
    dx[0] = clone(dy[0]);
    put(name, dx[0], indices, axes, zeros({}, dy[0].dtype()), false);
  }
  // Of values written to one element only the last is in x: the other ones have no gradient.
  void keep_last(const Tensor& dv, const Tensor& x, const std::vector<Tensor>& indices) const {
    Dims shape, all;
    for (int i = 0; i < axes.size(); ++i) shape.push_back(x.shape()[axes[i]]), all.push_back(i);
    const Tensor offsets = offsets_of(name, indices, all, shape, contiguous_strides(shape));
    if (dv.numel() == 0) return;
    const Tensor owner = empty({numel_of(shape)}, DType::int64);
    Dims rest[2];
    rest_of(x.dim(), axes, rest);
    int64_t before = 1, after = 1;
    for (int64_t a : rest[0]) before *= x.shape()[a];
    for (int64_t a : rest[1]) after *= x.shape()[a];
    launch(kernels::index_drop_overwritten, dv.raw(), owner.data<int64_t>(), offsets.data<int64_t>(), offsets.numel(),
           before, after * dv.itemsize());
  }
};

// Leading axes of size 1 that x does not have, as NumPy allows them in an assignment.
Tensor drop_leading(const Tensor& value, int64_t rank) {
  Dims shape = value.shape();
  while (shape.size() > rank && shape[0] == 1) shape.erase(0);
  return shape == value.shape() ? value : reshape(value, shape);
}

}  // namespace

Dims index_shape(const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes) {
  Dims rest[2], shape;
  rest_of(x.dim(), axes, rest);
  for (int64_t a : rest[0]) shape.push_back(x.shape()[a]);
  for (int64_t n : block_shape(indices)) shape.push_back(n);
  for (int64_t a : rest[1]) shape.push_back(x.shape()[a]);
  return shape;
}

Tensor index(const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes, const char* op) {
  return apply<Index>(x, indices, axes, op);
}

namespace {

Tensor value_for(const char* op, const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes,
                 const Tensor& value) {
  const Dims shape = index_shape(x, indices, axes);
  const Tensor v = drop_leading(to(value, x.dtype()), shape.size());
  if (broadcast_shapes(op, shape, v.shape()) != shape)
    throw ValueError(str(op, ": a value of shape ", value.shape(), " does not broadcast to ", shape));
  return v;
}

}  // namespace

Tensor index_put(const char* op, const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes,
                 const Tensor& value, bool accumulate) {
  return apply<IndexPut>(x, value_for(op, x, indices, axes, value), indices, axes,
                         IndexPut::Options{op, accumulate, false});
}

void index_put_(const char* op, const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes,
                const Tensor& value, bool accumulate) {
  const Tensor v = value_for(op, x, indices, axes, value);
  begin_inplace(op, x);
  end_inplace(x, apply<IndexPut>(x, v, indices, axes, IndexPut::Options{op, accumulate, true}));
}

void assign(const char* op, const Tensor& x, const Tensor& value) {
  // x[i] += v assigns the window to itself: its memory and history are already what they should be.
  if (x.impl()->storage == value.impl()->storage && x.dtype() == value.dtype() && x.shape() == value.shape() &&
      x.strides() == value.strides() && x.impl()->offset == value.impl()->offset)
    return;
  const Tensor v = drop_leading(value, x.dim());
  if (broadcast_shapes(op, x.shape(), v.shape()) != x.shape())
    throw ValueError(str(op, ": a value of shape ", value.shape(), " does not broadcast to ", x.shape()));
  copy_(x, v);
}

std::vector<Tensor> nonzero_indices(const Tensor& given) {
  refuse_in_capture("nonzero: a shape depends on data");
  const DeviceGuard here(given.device());
  const Tensor x = contiguous(given.detach());
  const int64_t n = x.numel(), blocks = (n + kIndexGrain - 1) / kIndexGrain;
  const Tensor counts = empty({blocks}, DType::int64);
  if (n > 0) launch(kernels::nonzero_count, counts.data<int64_t>(), x.raw(), static_cast<int>(x.dtype()), n);
  const Tensor on_host = on_cpu(counts);
  int64_t total = 0;
  {
    const DeviceGuard host(kCpu);
    int64_t* const start = on_host.data<int64_t>();
    for (int64_t t = 0; t < blocks; ++t) {
      const int64_t found = start[t];
      start[t] = total;
      total += found;
    }
  }
  const Tensor start = to_device(on_host, x.device()), flat = empty({total}, DType::int64);
  if (total > 0)
    launch(kernels::nonzero_fill, flat.data<int64_t>(), start.data<int64_t>(), x.raw(), static_cast<int>(x.dtype()), n);
  if (x.dim() == 1) return {flat};
  std::vector<Tensor> out;
  for (int i = 0; i < x.dim(); ++i) {
    out.push_back(empty({total}, DType::int64));
    if (total)
      launch(kernels::unravel_axis, out[i].data<int64_t>(), flat.data<int64_t>(), total,
             contiguous_strides(x.shape())[i], x.shape()[i]);
  }
  return out;
}

Tensor number_as(const char* op, Scalar v, DType dtype) {
  if (dtype == DType::uint8 || dtype == DType::int32) {
    const int64_t i = v.to_int64(), low = dtype == DType::uint8 ? 0 : INT32_MIN,
                  high = dtype == DType::uint8 ? 255 : INT32_MAX;
    if (i < low || i > high) throw OverflowError(str(op, ": the number ", i, " does not fit ", dtype));
  }
  return scalar_tensor(v, dtype);
}

Tensor as_index(const char* op, const Tensor& i) {
  if (!is_integral(i.dtype())) throw TypeError(str(op, ": expected an index of an integer dtype, got ", i.dtype()));
  const DeviceGuard here(i.device());
  return i.dtype() == DType::int64 ? private_copy(i) : contiguous(to(i, DType::int64)).detach();
}

void check_indices(const char* op, const Tensor& i, int64_t axis, int64_t size, bool wrap) {
  const DeviceGuard here(i.device());
  const Findings bad(i.numel());
  if (i.numel() > 0) launch(kernels::index_check, bad.data(), i.data<int64_t>(), i.numel(), wrap ? -size : 0, size);
  bad.check(op, axis, size);
}

void check_indices_again(const char* op, const Tensor& i, int64_t axis, int64_t size, bool wrap) {
  if (i.device() == kCpu) check_indices(op, i, axis, size, wrap);
}

}  // namespace fastnn
