#include "ops/create/create.h"
#include "ops/elementwise/elementwise.h"
#include "ops/view/view.h"
#include "python/device_py.h"

namespace fastnn {
namespace {

using Type = std::optional<DType>;
using Where = std::optional<Place>;  // `device=`; the current one where None

Tensor with_grad(const Tensor& x, bool requires_grad) {
  if (requires_grad) set_requires_grad(x, true);
  return x;
}

// Functions of sizes: f(2, 3) or f((2, 3)), then dtype and requires_grad by name.
template <class Make>
void bind_sized(Binder& b, const char* name, const Make& make, const char* doc) {
  b.python_function(
      name,
      [name, make](const py::args& size, Type dtype, bool requires_grad, Where device) {
        const Dims shape = dims_from_args(name, size);
        const Made made(device);
        Tensor y;
        {
          ReleaseGil release;
          y = make(shape, dtype.value_or(DType::float32));
        }
        return with_grad(y, requires_grad);
      },
      py::kw_only(), "dtype"_a = py::none(), "requires_grad"_a = false, "device"_a = py::none(), doc);
}

Tensor make_empty(const Dims& shape, DType t) { return empty(shape, t); }
Tensor make_zeros(const Dims& shape, DType t) { return zeros(shape, t); }
Tensor make_ones(const Dims& shape, DType t) { return ones(shape, t); }

template <class Make>
void bind_like(Binder& b, const char* name, const Make& make, const char* doc) {
  b.function(
      name,
      [make](const Tensor& x, Type dtype, bool requires_grad, Where device) {
        const Made made(device ? device : Where(Place{x.device()}));
        return with_grad(make(x.shape(), dtype.value_or(x.dtype())), requires_grad);
      },
      "x"_a, py::kw_only(), "dtype"_a = py::none(), "requires_grad"_a = false, "device"_a = py::none(), doc);
}

DType range_type(const Scalar& a, const Scalar& b, const Scalar& c) {
  return a.kind == Scalar::floating || b.kind == Scalar::floating || c.kind == Scalar::floating ? DType::float32
                                                                                                : DType::int64;
}

}  // namespace

void bind_create(Binder& b) {
  bind_sized(b, "empty", make_empty,
             "A tensor of uninitialised memory.\n\nParameters\n----------\n*size : int\n    Sizes, as empty(2, 3) or "
             "empty((2, 3)).\ndtype : dtype, optional\n    float32 when None.\nrequires_grad : bool\n    Whether "
             "operations on it are recorded.\ndevice : device or str, optional\n    The current one (the CPU, or that "
             "of a `with device(...)`) when None.");
  bind_sized(b, "zeros", make_zeros, "A tensor of zeros of the given sizes; arguments as for `empty`.");
  bind_sized(b, "ones", make_ones, "A tensor of ones of the given sizes; arguments as for `empty`.");
  bind_like(b, "empty_like", make_empty, "Uninitialised memory of x's shape and dtype (or `dtype`).");
  bind_like(b, "zeros_like", make_zeros, "Zeros of x's shape and dtype (or `dtype`).");
  bind_like(b, "ones_like", make_ones, "Ones of x's shape and dtype (or `dtype`).");
  b.function(
      "full",
      [](const Dims& size, Scalar fill_value, Type dtype, bool requires_grad, Where device) {
        const Made made(device);
        return with_grad(full(size, fill_value, dtype.value_or(fill_value.default_dtype())), requires_grad);
      },
      "size"_a, "fill_value"_a, py::kw_only(), "dtype"_a = py::none(), "requires_grad"_a = false,
      "device"_a = py::none(),
      "A tensor of `size` filled with a number; its dtype is that of the number (int64, float32, bool) when None.");
  b.function(
      "full_like",
      [](const Tensor& x, Scalar fill_value, Type dtype, bool requires_grad, Where device) {
        const Made made(device ? device : Where(Place{x.device()}));
        return with_grad(full(x.shape(), fill_value, dtype.value_or(x.dtype())), requires_grad);
      },
      "x"_a, "fill_value"_a, py::kw_only(), "dtype"_a = py::none(), "requires_grad"_a = false, "device"_a = py::none(),
      "x's shape and dtype (or `dtype`), filled with a number.");
  b.function(
      "arange",
      [](Scalar start, std::optional<Scalar> end, Scalar step, Type dtype, bool requires_grad, Where device) {
        const Made made(device);
        if (!end) end = start, start = Scalar(0);
        return with_grad(arange(start, *end, step, dtype.value_or(range_type(start, *end, step))), requires_grad);
      },
      "start"_a, "end"_a = py::none(), "step"_a = Scalar(1), py::kw_only(), "dtype"_a = py::none(),
      "requires_grad"_a = false, "device"_a = py::none(),
      "start, start + step, ... below `end` (arange(n) is 0 .. n - 1): int64 for integers, float32 otherwise.\n\n"
      "Raises ValueError where end lies on the other side of start.");
  b.function(
      "linspace",
      [](double start, double end, int64_t steps, Type dtype, bool requires_grad, Where device) {
        const Made made(device);
        return with_grad(linspace(start, end, steps, dtype.value_or(DType::float32)), requires_grad);
      },
      "start"_a, "end"_a, "steps"_a, py::kw_only(), "dtype"_a = py::none(), "requires_grad"_a = false,
      "device"_a = py::none(), "`steps` evenly spaced numbers from start to end, both included.");
  b.function(
      "logspace",
      [](double start, double end, int64_t steps, double base, Type dtype, bool requires_grad, Where device) {
        const Made made(device);
        return with_grad(logspace(start, end, steps, base, dtype.value_or(DType::float32)), requires_grad);
      },
      "start"_a, "end"_a, "steps"_a, "base"_a = 10.0, py::kw_only(), "dtype"_a = py::none(), "requires_grad"_a = false,
      "device"_a = py::none(), "base ** start to base ** end, `steps` numbers with evenly spaced exponents.");
  b.function(
      "eye",
      [](int64_t n, std::optional<int64_t> m, Type dtype, bool requires_grad, Where device) {
        const Made made(device);
        return with_grad(eye(n, m.value_or(n), dtype.value_or(DType::float32)), requires_grad);
      },
      "n"_a, "m"_a = py::none(), py::kw_only(), "dtype"_a = py::none(), "requires_grad"_a = false,
      "device"_a = py::none(), "Ones on the main diagonal of n rows and m (n when None) columns, zeros elsewhere.");

  // --- attributes of a tensor ---------------------------------------------------------------------
  b.method(
      "numel", [](const Tensor& x) { return x.numel(); }, "int: number of elements.");
  b.method(
      "dim", [](const Tensor& x) { return x.dim(); }, "int: number of dimensions.");
  b.python_method(
      "size",
      [](const Tensor& x, std::optional<int64_t> dim) -> py::object {
        return dim ? py::object(py::int_(x.size(*dim))) : py::cast(x.shape());
      },
      "dim"_a = py::none(), "The sizes, or the size along `dim`.");
  b.python_method(
      "stride",
      [](const Tensor& x, std::optional<int64_t> dim) -> py::object {
        if (!dim) return py::cast(x.strides());
        if (x.dim() == 0) throw IndexError("stride: a 0-d tensor has no axes");
        return py::int_(x.strides()[normalize_axis("stride", *dim, x.dim())]);
      },
      "dim"_a = py::none(), "The strides in elements, or the stride along `dim`.");
  b.method(
      "is_contiguous", [](const Tensor& x) { return x.is_contiguous(); }, "bool: whether the memory is row-major.");
  b.method(
      "element_size", [](const Tensor& x) { return x.itemsize(); }, "int: bytes of one element.");
  b.method(
      "storage_offset", [](const Tensor& x) { return x.impl()->offset; },
      "int: elements before the first one in the memory.");
  b.method(
      "data_ptr", [](const Tensor& x) { return reinterpret_cast<uintptr_t>(x.address()); },
      "int: address of the first element.");
  b.method(
      "is_floating_point", [](const Tensor& x) { return x.is_floating(); }, "bool: float32 or float64.");
  static constexpr std::pair<const char*, DType> casts[] = {{"float", DType::float32}, {"double", DType::float64},
                                                            {"long", DType::int64},    {"int", DType::int32},
                                                            {"byte", DType::uint8},    {"bool", DType::bool_}};
  for (const auto& [name, type] : casts)
    b.method(
        name, [t = type](const Tensor& x) { return to(x, t); },
        (std::string("The tensor as ") + dtype_name(type) + ".").c_str());
  b.method(
      "type_as", [](const Tensor& x, const Tensor& other) { return to(x, other.dtype()); }, "other"_a,
      "The tensor in the dtype of `other`.");
  b.method(
      "t",
      [](const Tensor& x) {
        if (x.dim() > 2) throw ValueError(str("t: expected at most 2 dimensions, got shape ", x.shape()));
        return x.dim() == 2 ? transpose(x, 0, 1) : x;
      },
      "A matrix transposed (a view); vectors and numbers as they are.");
}

}  // namespace fastnn
