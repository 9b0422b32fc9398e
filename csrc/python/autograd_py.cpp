// The gradient machinery in Python: modes, hooks, backward, user-defined functions.

#include "ops/elementwise/elementwise.h"
#include "python/tensor_type.h"

namespace fastnn {
namespace {

// A Python object that C++ threads may drop: the last reference goes with the GIL held.
struct SharedObject {
  PyObject* object;
  explicit SharedObject(const py::object& o) : object(o.ptr()) { Py_INCREF(object); }
  SharedObject(const SharedObject&) = delete;
  ~SharedObject() {
    if (!Py_IsInitialized()) return;
    PyGILState_STATE s = PyGILState_Ensure();
    Py_DECREF(object);
    PyGILState_Release(s);
  }
};

Hook python_hook(const py::object& f) {
  auto shared = std::make_shared<SharedObject>(f);
  return [shared](const Tensor& g) {
    py::gil_scoped_acquire gil;
    const py::object result = py::handle(shared->object)(py::cast(g));
    if (result.is_none()) return Tensor();
    if (!is_tensor(result.ptr()))
      throw TypeError(str("hook: expected a Tensor or None to be returned, got ", Py_TYPE(result.ptr())->tp_name));
    return unwrap(result.ptr());
  };
}

// A node whose backward is a Python class's static method.
struct PythonNode : Node {
  std::shared_ptr<SharedObject> cls, context;
  std::string label;
  bool released = false;
  std::string name() const override { return label; }
  void release() override { released = true; }
  std::vector<Tensor> backward(std::vector<Tensor>& dy) override {
    if (released)
      throw RuntimeError(str(label, ": backward through this graph a second time; use retain_graph=True in the first"));
    py::gil_scoped_acquire gil;
    py::tuple args(dy.size() + 1);
    args[0] = py::reinterpret_borrow<py::object>(context->object);
    for (size_t i = 0; i < dy.size(); ++i) {
      if (!dy[i].defined()) {  // nothing came back for this output: zeros, so that formulas need no special case
        dy[i] = empty(outputs[i].shape, outputs[i].dtype);
        fill_into(dy[i], Scalar(0.0));
      }
      args[i + 1] = py::cast(dy[i]);
    }
    py::object result = py::handle(cls->object).attr("backward")(*args);
    py::tuple grads = py::isinstance<py::tuple>(result) || py::isinstance<py::list>(result) ? py::tuple(result)
                                                                                            : py::make_tuple(result);
    const auto wrong_count = [&] {
      return RuntimeError(
          str(label, ": backward returned ", grads.size(), " gradients for ", edges.size(), " arguments"));
    };
    if (grads.size() < edges.size()) throw wrong_count();
    std::vector<Tensor> dx(edges.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      const py::handle g = grads[i];
      if (g.is_none()) continue;
      if (i >= edges.size()) throw wrong_count();
      if (!is_tensor(g.ptr()))
        throw TypeError(str(label, ": backward must return tensors or None, got ", Py_TYPE(g.ptr())->tp_name));
      dx[i] = unwrap(g.ptr()).detach();
    }
    return dx;
  }
};

py::object apply_function(const py::object& cls, const py::object& context, const py::args& args) {
  bool record = false;
  py::tuple needs(args.size());
  for (size_t i = 0; i < args.size(); ++i) {
    const bool wanted = is_tensor(args[i].ptr()) && unwrap(args[i].ptr()).requires_grad() && grad_enabled();
    needs[i] = py::bool_(wanted);
    record = record || wanted;
  }
  context.attr("needs_input_grad") = needs;
  py::object result;
  {
    NoGrad guard;
    result = cls.attr("forward")(context, *args);
  }
  const bool single = is_tensor(result.ptr());
  if (!single && !py::isinstance<py::tuple>(result))
    throw TypeError(str(std::string(py::str(cls.attr("__name__"))),
                        ": forward must return a Tensor or a tuple of Tensors, got ", Py_TYPE(result.ptr())->tp_name));
  py::tuple outputs = single ? py::make_tuple(result) : py::tuple(result);
  if (!record) return result;
  auto* node = new PythonNode;
  Ref<Node> ref(node);
  node->label = py::str(cls.attr("__name__"));
  node->cls = std::make_shared<SharedObject>(cls);
  node->context = std::make_shared<SharedObject>(context);
  for (const py::handle a : args) node->edges.push_back(is_tensor(a.ptr()) ? grad_edge(unwrap(a.ptr())) : Edge{});
  const py::object constant = context.attr("_non_differentiable");
  py::tuple fresh(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const py::object o = outputs[i];
    if (!is_tensor(o.ptr()))
      throw TypeError(str(node->label, ": forward must return tensors, got ", Py_TYPE(o.ptr())->tp_name));
    const Tensor& x = unwrap(o.ptr());
    // A tensor that already has a place in a graph (an input returned as it is) gets a window of its own.
    const Tensor y = x.requires_grad() ? x.detach() : x;
    bool differentiable = true;
    for (const py::handle c : constant) differentiable = differentiable && c.ptr() != o.ptr();
    if (differentiable) {
      set_history(y, ref);
    } else {
      node->outputs.push_back({y.shape(), y.dtype(), y.device()});
    }
    fresh[i] = py::cast(y);
  }
  return single ? py::object(fresh[0]) : py::object(fresh);
}

}  // namespace

void bind_autograd(Binder& b) {
  b.python_function("is_grad_enabled", &grad_enabled, "True while operations are recorded (per thread).");
  b.python_function("_set_grad_enabled", &set_grad_enabled, "on"_a);
  b.python_function("_is_anomaly_enabled", &anomaly_enabled);
  b.python_function("_set_anomaly_enabled", &set_anomaly_enabled, "on"_a);
  b.python_function("_apply_function", &apply_function);
  using Optional = std::vector<std::optional<Tensor>>;
  const auto given = [](const Optional& list) {
    std::vector<Tensor> out;
    for (const auto& t : list) out.push_back(t ? *t : Tensor());
    return out;
  };
  b.function(
      "_backward",
      [given](const std::vector<Tensor>& tensors, const Optional& grads, bool retain_graph) {
        backward(tensors, given(grads), retain_graph);
      },
      "tensors"_a, "grads"_a, "retain_graph"_a);
  b.function(
      "_grad",
      [given](const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs, const Optional& grads,
              bool retain_graph,
              bool allow_unused) { return grad(outputs, inputs, given(grads), retain_graph, allow_unused); },
      "outputs"_a, "inputs"_a, "grad_outputs"_a, "retain_graph"_a, "allow_unused"_a);
  b.method(
      "backward",
      [](const Tensor& x, const std::optional<Tensor>& gradient, bool retain_graph) {
        backward({x}, {gradient ? *gradient : Tensor()}, retain_graph);
      },
      "gradient"_a = py::none(), "retain_graph"_a = false,
      "Adds the gradients of this tensor into the .grad of every leaf it was made from.\n\n`gradient` is needed unless "
      "the tensor has one element.");
  b.python_method(
      "detach", [](const Tensor& x) { return x.detach(); }, "The same memory without history.");
  b.python_method(
      "requires_grad_",
      [](const py::object& self, bool on) {
        set_requires_grad(unwrap(self.ptr()), on);
        return self;
      },
      "requires_grad"_a = true, "Sets requires_grad in place and returns the tensor.");
  b.python_method(
      "retain_grad", [](const Tensor& x) { retain_grad(x); }, "Keeps the gradient of an inner tensor in .grad.");
  b.python_method("_register_hook",
                  [](const Tensor& x, const py::object& f) { return register_hook(x, python_hook(f)); });
  b.python_method("_has_hooks", [](const Tensor& x) {
    const Edge edge = grad_edge(x);
    if (!edge.node) return false;
    std::lock_guard<std::mutex> lock(hooks_mutex());
    return !edge.node->hooks.empty();
  });
  b.python_method("_remove_hook", [](const Tensor& x, int64_t id) { remove_hook(x, id); });
}

}  // namespace fastnn
