#pragma once
// The form of a captured step's arguments or results: tensors inside tuples, lists and dicts, everything else a
// constant. Holds the Python objects it compares with borrowed: whoever made it from a Python structure keeps that.

#include <vector>

#include "python/bind.h"

namespace fastnn {

class Pattern {
 public:
  /// From what fastnn/_capture.py makes of a value: Tensor, ("constant", value) or (type, item, ...) where an item of a
  /// dict is (key, form).
  static Pattern from(const py::handle& form);
  /// A dict, tuple or list without items.
  bool empty() const { return kind_ != tensor && kind_ != constant && items_.empty(); }
  /// Whether `value` has this form, with equal constants; its tensors go to the list. -1 with the Python error set.
  int match(PyObject* value, std::vector<Tensor>& tensors) const;
  /// A value of this form with the tensors from *next on; null with the Python error set.
  PyObject* build(const Tensor*& next) const;

 private:
  enum Kind { tensor, constant, tuple, list, dict } kind_ = tensor;
  PyObject* object_ = nullptr;  // the constant, or the type of a tuple
  bool named_ = false;          // a named tuple: made from its fields
  std::vector<PyObject*> keys_;
  std::vector<Pattern> items_;
};

}  // namespace fastnn
