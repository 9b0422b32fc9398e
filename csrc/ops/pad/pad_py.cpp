#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/join/join.h"
#include "ops/pad/pad.h"
#include "ops/view/view.h"
#include "python/bind.h"

namespace fastnn {
namespace {

Tensor tile(const Tensor& x, Dims dims) {
  while (dims.size() < x.dim()) dims.insert(0, 1);
  return repeat(x, dims, "tile");
}

Tensor flatten(const Tensor& x, int64_t start_dim, int64_t end_dim) {
  if (x.dim() == 0) return reshape(x, {1});
  const int64_t first = normalize_axis("flatten", start_dim, x.dim()),
                last = normalize_axis("flatten", end_dim, x.dim());
  if (first > last)
    throw ValueError(str("flatten: start_dim ", start_dim, " lies behind end_dim ", end_dim, " for shape ", x.shape()));
  Dims shape;
  int64_t n = 1;
  for (int64_t i = 0; i < x.dim(); ++i) {
    if (i >= first && i <= last) {
      n *= x.shape()[i];
      if (i == last) shape.push_back(n);
    } else {
      shape.push_back(x.shape()[i]);
    }
  }
  return reshape(x, shape);
}

Tensor unflatten(const Tensor& x, int64_t dim, Dims sizes) {
  if (x.dim() == 0) throw ValueError("unflatten: expected at least 1 dimension, got a 0-d tensor");
  const int64_t axis = normalize_axis("unflatten", dim, x.dim()), n = x.shape()[axis];
  int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1 && unknown < 0)
      unknown = i;
    else if (sizes[i] < 0)
      throw ValueError(str("unflatten: sizes must be >= 0, or -1 once, got ", sizes));
    else
      known = checked_mul(known, sizes[i]);
  }
  if (unknown >= 0 && known != 0 && n % known == 0) sizes[unknown] = n / known, known = n;
  if (sizes.empty() || known != n || (unknown >= 0 && sizes[unknown] < 0))
    throw ValueError(str("unflatten: axis ", axis, " of shape ", x.shape(), " cannot become ", sizes));
  Dims shape;
  for (int64_t i = 0; i < x.dim(); ++i) {
    if (i != axis)
      shape.push_back(x.shape()[i]);
    else
      for (int64_t s : sizes) shape.push_back(s);
  }
  return reshape(x, shape);
}

Tensor movedim(const Tensor& x, const Dims& source, const Dims& destination) {
  if (source.size() != destination.size())
    throw ValueError(str("movedim: expected as many sources as destinations, got ", source, " and ", destination));
  Dims order(x.dim(), -1);
  bool taken[kMaxRank] = {};
  for (int i = 0; i < source.size(); ++i) {
    const int64_t from = normalize_axis("movedim", source[i], x.dim()),
                  to = normalize_axis("movedim", destination[i], x.dim());
    if (x.dim() == 0) return x;
    if (order[to] >= 0 || taken[from])
      throw ValueError(str("movedim: an axis appears twice in ", source, " or ", destination));
    order[to] = from;
    taken[from] = true;
  }
  int64_t next = 0;
  for (int64_t& o : order) {
    if (o >= 0) continue;
    while (taken[next]) ++next;
    o = next++;
  }
  return permute(x, order);
}

Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  if (x.dim() == 0) throw ValueError("narrow: a 0-d tensor cannot be narrowed");
  const int64_t axis = normalize_axis("narrow", dim, x.dim()), n = x.shape()[axis];
  const int64_t first = start < 0 ? start + n : start;
  if (first < 0 || first > n || length < 0 || length > n - first)
    throw IndexError(
        str("narrow: start ", start, " and length ", length, " are out of bounds for axis ", axis, " with size ", n));
  return slice(x, axis, first, length, 1);
}

Tensor diag(const Tensor& x, int64_t offset) {
  if (x.dim() == 1) return diag_embed(x, offset, 0, 1);
  if (x.dim() == 2) return clone(diagonal(x, offset, 0, 1));
  throw ValueError(str("diag: expected 1 or 2 dimensions, got shape ", x.shape()));
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& tensors, const std::string& indexing) {
  if (indexing != "ij" && indexing != "xy")
    throw ValueError(str("meshgrid: indexing must be ij or xy, got ", indexing));
  const int n = static_cast<int>(tensors.size());
  const bool swap = indexing == "xy" && n > 1;
  Dims shape;
  for (const Tensor& t : tensors) {
    detail::check_device_of("meshgrid", tensors[0].device(), t);
    if (t.dim() > 1) throw ValueError(str("meshgrid: expected 0-d or 1-d tensors, got shape ", t.shape()));
    shape.push_back(t.numel());
  }
  if (swap) std::swap(shape[0], shape[1]);
  std::vector<Tensor> out;
  for (int i = 0; i < n; ++i) {
    Dims own(n, 1);
    own[swap && i < 2 ? 1 - i : i] = tensors[i].numel();
    out.push_back(expand(reshape(tensors[i], own), shape));
  }
  return out;
}

py::tuple as_tuple(const std::vector<Tensor>& list) {
  py::tuple t(list.size());
  for (size_t i = 0; i < list.size(); ++i) t[i] = py::cast(list[i]);
  return t;
}

// Tensors given as f(a, b) or f((a, b)).
std::vector<Tensor> tensors_from_args(const char* op, const py::args& args) {
  const bool one_sequence =
      args.size() == 1 && (py::isinstance<py::list>(args[0]) || py::isinstance<py::tuple>(args[0]));
  std::vector<Tensor> list;
  for (const py::handle o : one_sequence ? py::sequence(args[0]) : py::sequence(args)) {
    if (!is_tensor(o.ptr())) throw TypeError(str(op, ": expected tensors, got ", Py_TYPE(o.ptr())->tp_name));
    list.push_back(unwrap(o.ptr()));
  }
  return list;
}

void bind_rearranging(Binder& b) {
  b.both("flatten", &flatten, "x"_a, "start_dim"_a = 0, "end_dim"_a = -1,
         "The axes start_dim to end_dim (inclusive) as one; a view where possible.");
  b.both("unflatten", &unflatten, "x"_a, "dim"_a, "sizes"_a,
         "The axis dim as several of the given sizes (one may be -1); a view where possible.");
  b.both(
      "ravel", [](const Tensor& x) { return reshape(x, {-1}); }, "x"_a,
      "The elements in row-major order along one axis; a view where possible.");
  for (const char* name : {"movedim", "moveaxis"})
    b.both(name, &movedim, "x"_a, "source"_a, "destination"_a,
           "Axes moved to other places, the others in order (a view).");
  for (const char* name : {"swapaxes", "swapdims"})
    b.both(name, &transpose, "x"_a, "dim0"_a, "dim1"_a, "Two axes swapped (a view).");
  b.both("narrow", &narrow, "x"_a, "dim"_a, "start"_a, "length"_a,
         "The slices start .. start + length - 1 along dim (a view).");
  b.method(
      "expand_as", [](const Tensor& x, const Tensor& other) { return expand(x, other.shape()); }, "other"_a,
      "Broadcast to the shape of other (a view).");
  b.method(
      "reshape_as", [](const Tensor& x, const Tensor& other) { return reshape(x, other.shape()); }, "other"_a,
      "As the shape of other; a view where possible.");
  b.method(
      "view_as", [](const Tensor& x, const Tensor& other) { return view(x, other.shape()); }, "other"_a,
      "As the shape of other; an error where a copy would be needed.");
  b.python_function(
      "broadcast_tensors",
      [](const py::args& args) {
        const std::vector<Tensor> list = tensors_from_args("broadcast_tensors", args);
        Dims shape;
        for (const Tensor& t : list) {
          detail::check_device_of("broadcast_tensors", list[0].device(), t);
          shape = broadcast_shapes("broadcast_tensors", shape, t.shape());
        }
        std::vector<Tensor> out;
        for (const Tensor& t : list) out.push_back(expand(t, shape));
        return as_tuple(out);
      },
      "A tuple of the tensors broadcast to one shape (views).");
  b.python_function(
      "broadcast_shapes",
      [](const py::args& args) {
        Dims shape;
        for (const py::handle o : args) shape = broadcast_shapes("broadcast_shapes", shape, o.cast<Dims>());
        return shape;
      },
      "The shape that tensors of the given shapes broadcast to.");
  b.python_function(
      "meshgrid",
      [](const py::args& tensors, const std::string& indexing) {
        return as_tuple(meshgrid(tensors_from_args("meshgrid", tensors), indexing));
      },
      py::kw_only(), "indexing"_a = "ij",
      "Coordinate grids of 1-d tensors: with ij the i-th varies along axis i; with xy the first two axes are swapped.");
}

}  // namespace

void bind_pad(Binder& b) {
  b.function(
      "pad", &pad, "x"_a, "pad"_a, "mode"_a = "constant", "value"_a = Scalar(0),
      "x extended (or cropped, where negative) at the ends of its last axes.\n\nParameters\n----------\nx : "
      "Tensor\npad : "
      "sequence of int\n    (before, after) of the last axis, then of the one before it, and so on.\nmode : str\n    "
      "constant; reflect (mirrored, without repeating the edge); replicate (the edge repeated); circular.\nvalue : "
      "number\n    For constant.\n\nRaises\n------\nValueError\n    More than the mode can extend, or cropping more "
      "than "
      "there is.");
  b.function("flip", &flip, "x"_a, "dims"_a, "A copy of x in reversed order along dims.");
  b.python_method(
      "flip", [](const Tensor& x, const py::args& dims) { return flip(x, dims_from_args("flip", dims)); },
      "A copy in reversed order along dims.");
  b.function(
      "fliplr", [](const Tensor& x) { return flip(x, {1}); }, "x"_a, "A copy reversed along axis 1.");
  b.function(
      "flipud", [](const Tensor& x) { return flip(x, {0}); }, "x"_a, "A copy reversed along axis 0.");
  b.python_method("__reversed__", [](const Tensor& x) { return x.dim() ? flip(x, {0}) : x; });
  b.both("roll", &roll, "x"_a, "shifts"_a, "dims"_a = py::none(),
         "x moved by shifts along dims (flattened when None); what leaves at one end enters at the other.");
  b.python_method(
      "repeat", [](const Tensor& x, const py::args& sizes) { return repeat(x, dims_from_args("repeat", sizes)); },
      "The whole tensor repeated sizes[i] times along axis i; more sizes than axes add axes in front.");
  b.function("tile", &tile, "x"_a, "dims"_a, "x repeated dims[i] times along axis i, counted from the last one.");
  b.python_method(
      "tile", [](const Tensor& x, const py::args& dims) { return tile(x, dims_from_args("tile", dims)); },
      "The tensor repeated dims[i] times along axis i, counted from the last one.");
  const char* each =
      "Every element repeated along dim (of the flattened tensor when None): `repeats` times, or repeats[i] times.";
  using Dim = std::optional<int64_t>;
  b.both(
      "repeat_interleave", [](const Tensor& x, int64_t n, Dim dim) { return repeat_interleave(x, n, dim); }, "x"_a,
      "repeats"_a, "dim"_a = py::none(), each);
  b.both(
      "repeat_interleave", [](const Tensor& x, const Tensor& n, Dim dim) { return repeat_interleave(x, n, dim); },
      "x"_a, "repeats"_a, "dim"_a = py::none(), each);
  b.method("unfold", &unfold, "dimension"_a, "size"_a, "step"_a,
           "Windows of `size` at every `step` along a dimension, as a new last axis (a view).");
  b.both("diag", &diag, "x"_a, "diagonal"_a = 0, "A matrix with x on its diagonal, or the diagonal of a matrix.");
  b.both("diag_embed", &diag_embed, "x"_a, "offset"_a = 0, "dim1"_a = -2, "dim2"_a = -1,
         "Matrices with the vectors in the last axis of x on a diagonal, zeros elsewhere.");
  bind_rearranging(b);
}

}  // namespace fastnn
