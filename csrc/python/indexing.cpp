#include "python/indexing.h"

#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "ops/view/view.h"

namespace fastnn {
namespace {

// One axis of the basic part of a key: an integer drops it, a slice narrows it, a new one is None.
struct Step {
  enum Kind { integer, slice, new_axis } kind;
  int64_t start = 0, length = 0, step = 1;
};

// A key, read: first the window of the basic part, then index tensors along axes of that window.
struct Key {
  std::vector<Step> steps;
  bool whole = true;  // the steps change nothing
  std::vector<Tensor> indices;
  Dims axes;
};

bool is_array_like(PyObject* o) {
  return is_tensor(o) || PyList_Check(o) || PyTuple_Check(o) || PyObject_HasAttrString(o, "__array_interface__") ||
         PyObject_HasAttrString(o, "__array__") || PyObject_CheckBuffer(o);
}

// The tensor that an array-like item of a key means: bool masks stay, integers become row-major int64.
Tensor index_tensor(PyObject* o) {
  if (!is_array_like(o) || PyUnicode_Check(o) || PyBytes_Check(o))
    throw TypeError(
        str("index: expected integers, slices, None, ..., or integer or bool tensors, arrays and lists, got ",
            Py_TYPE(o)->tp_name));
  Tensor t = tensor_from_object(o, nullptr, false);
  const bool untyped = (PyList_Check(o) || PyTuple_Check(o)) && t.numel() == 0;  // [] selects nothing
  if (untyped) t = to(t, DType::int64);
  return t.dtype() == DType::bool_ ? t.detach() : as_index("index", t);
}

class KeyReader {
 public:
  KeyReader(const Tensor& x, PyObject* key) : x_(x) {
    if (!PyTuple_Check(key)) {
      items_.push_back(key);
    } else {
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i) items_.push_back(PyTuple_GET_ITEM(key, i));
    }
  }

  Key read() {
    count_axes();
    bool seen_ellipsis = false;
    for (size_t i = 0; i < items_.size(); ++i) {
      PyObject* o = items_[i];
      if (o == Py_Ellipsis) {
        if (seen_ellipsis) throw IndexError("index: only one ellipsis (...) can be used");
        seen_ellipsis = true;
        for (int64_t k = used_; k < x_.dim(); ++k) keep_axis();
      } else if (o == Py_None) {
        key_.whole = false;
        add({Step::new_axis});
      } else if (PySlice_Check(o)) {
        add_slice(o);
      } else if (arrays_[i].defined()) {
        arrays_[i].dtype() == DType::bool_ ? add_mask(arrays_[i]) : add_indices(arrays_[i]);
      } else {
        add_integer(integers_[i]);
      }
    }
    return std::move(key_);
  }

 private:
  // How many axes of x the items take, which says how many an ellipsis stands for.
  void count_axes() {
    arrays_.resize(items_.size());
    integers_.resize(items_.size());
    for (size_t i = 0; i < items_.size(); ++i) {
      PyObject* o = items_[i];
      if (o == Py_Ellipsis || o == Py_None) continue;
      if (PySlice_Check(o)) {
        ++used_;
        continue;
      }
      const bool boolean = PyBool_Check(o) || (is_tensor(o) && unwrap(o).dtype() == DType::bool_);
      if (PyBool_Check(o)) {
        arrays_[i] = scalar_tensor(Scalar(o == Py_True), DType::bool_);
      } else if (boolean || !int_from_object(o, integers_[i])) {
        Scalar number;  // a NumPy bool is a number to NumPy, and a mask here
        if (!is_tensor(o) && scalar_from_object(o, number) && number.kind == Scalar::boolean)
          arrays_[i] = scalar_tensor(number, DType::bool_);
        else
          arrays_[i] = index_tensor(o);
      }
      if (arrays_[i].defined()) arrays_[i] = to_device(arrays_[i], x_.device());
      used_ += arrays_[i].defined() && arrays_[i].dtype() == DType::bool_ ? arrays_[i].dim() : 1;
    }
    if (used_ > x_.dim())
      throw IndexError(str("index: too many indices: ", used_, " for a tensor of shape ", x_.shape()));
  }

  void add(const Step& s) {
    key_.steps.push_back(s);
    if (s.kind != Step::new_axis) ++axis_;
    if (s.kind != Step::integer) ++out_;
  }

  void keep_axis() { add({Step::slice, 0, x_.shape()[axis_], 1}); }

  void add_slice(PyObject* o) {
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(o, &start, &stop, &step) < 0) throw py::error_already_set();
    const int64_t size = x_.shape()[axis_], length = PySlice_AdjustIndices(size, &start, &stop, step);
    if (length != size || step != 1) key_.whole = false;
    add({Step::slice, start, length, step});
  }

  void add_integer(int64_t given) {
    const int64_t size = x_.shape()[axis_], i = given < 0 ? given + size : given;
    if (i < 0 || i >= size)
      throw IndexError(str("index: ", given, " is out of bounds for axis ", axis_, " with size ", size));
    key_.whole = false;
    add({Step::integer, i});
  }

  void add_indices(const Tensor& t) {
    key_.indices.push_back(t);
    key_.axes.push_back(out_);
    keep_axis();
  }

  void add_mask(const Tensor& mask) {
    if (mask.dim() == 0) {  // a new axis of size 1, kept or emptied
      const DeviceGuard here(x_.device());
      key_.indices.push_back(empty({item(mask).i}, DType::int64));
      fill_into(key_.indices.back(), Scalar(0));
      key_.axes.push_back(out_);
      key_.whole = false;
      add({Step::new_axis});
      return;
    }
    for (int i = 0; i < mask.dim(); ++i)
      if (mask.shape()[i] != x_.shape()[axis_ + i])
        throw IndexError(str("index: the mask has shape ", mask.shape(), ", which does not match the tensor of shape ",
                             x_.shape(), " from axis ", axis_, " on"));
    for (const Tensor& t : nonzero_indices(mask)) add_indices(t);
  }

  const Tensor& x_;
  std::vector<PyObject*> items_;
  std::vector<Tensor> arrays_;
  std::vector<int64_t> integers_;
  int64_t used_ = 0, axis_ = 0, out_ = 0;  // axes of x that items take; the next axis of x and of the window
  Key key_;
};

Tensor basic_window(const Tensor& x, const Key& key) {
  return window(x, [&](Dims& shape, Dims& strides, int64_t& offset) {
    Dims new_shape, new_strides;
    int axis = 0;
    for (const Step& s : key.steps) {
      if (s.kind == Step::new_axis) {
        new_shape.push_back(1);
        new_strides.push_back(1);
        continue;
      }
      if (s.kind == Step::integer || s.length > 0) offset += s.start * strides[axis];
      if (s.kind == Step::slice) {
        new_shape.push_back(s.length);
        new_strides.push_back(s.length > 1 ? s.step * strides[axis] : strides[axis]);
      }
      ++axis;
    }
    for (; axis < shape.size(); ++axis) {
      new_shape.push_back(shape[axis]);
      new_strides.push_back(strides[axis]);
    }
    shape = new_shape;
    strides = new_strides;
  });
}

// Runs f without the GIL where the work is worth the two switches.
template <class F>
void without_gil(bool large, const F& f) {
  if (!large) return f();
  ReleaseGil release;
  f();
}

// Copies the data of an array-like or a number for an assignment to x.
Tensor value_tensor(const Tensor& x, PyObject* value) {
  if (is_tensor(value)) return unwrap(value);
  Scalar number;
  if (scalar_from_object(value, number)) {
    const DeviceGuard here(x.device());
    return number_as("index assignment", number, x.dtype());
  }
  if (!is_array_like(value) || PyUnicode_Check(value) || PyBytes_Check(value))
    throw TypeError(str("index assignment: expected a number, a tensor or an array, got ", Py_TYPE(value)->tp_name));
  const DType t = x.dtype();
  return tensor_from_object(value, &t, false);
}

constexpr int64_t kLarge = 16384;

}  // namespace

PyObject* tensor_getitem(PyObject* self, PyObject* key_object) {
  try {
    const Tensor& x = unwrap(self);
    int64_t i;
    if (PyLong_CheckExact(key_object) && int_from_object(key_object, i) && x.dim() > 0) return wrap(select(x, 0, i));
    const Key key = KeyReader(x, key_object).read();
    if (key.indices.empty()) return wrap(basic_window(x, key));
    const Tensor base = key.whole ? x : basic_window(x, key);
    Tensor y;
    without_gil(base.numel() + key.indices[0].numel() >= kLarge, [&] { y = index(base, key.indices, key.axes); });
    return wrap(y);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

int tensor_setitem(PyObject* self, PyObject* key_object, PyObject* value) {
  try {
    const Tensor& x = unwrap(self);
    if (!value) throw TypeError("index: elements of a tensor cannot be deleted");
    const Key key = KeyReader(x, key_object).read();
    const Tensor v = to_device(value_tensor(x, value), x.device());
    const Tensor target = key.whole && !key.indices.empty() ? x : basic_window(x, key);
    without_gil(target.numel() >= kLarge, [&] {
      if (key.indices.empty())
        assign("index assignment", target, v);
      else
        index_put_("index assignment", target, key.indices, key.axes, v, false);
    });
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}

}  // namespace fastnn
