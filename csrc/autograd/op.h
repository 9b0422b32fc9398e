#pragma once
// How an operation is written: a struct with `name`, check(args...), forward(saved, args...) and
// backward(saved, dy, dx); apply<Op>(args...) is the only caller. Attributes that backward needs are members of the
// struct, tensors it needs go through saved.keep(). Tensor arguments, in order, are the inputs 0, 1, ... of dx; a
// std::vector<Tensor> counts once per element, an undefined Tensor (an absent bias, say) counts and wants nothing.

#include <array>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/node.h"

namespace fastnn {

/// Tensors kept for backward, as windows without history (so that no cycle forms), with the version they had.
class Saved {
 public:
  explicit Saved(bool recording) : recording_(recording) {}
  bool recording() const { return recording_; }
  void keep(const Tensor& x) {
    if (recording_) items_.push_back({x.defined() ? x.detach() : Tensor(), x.defined() ? x.version() : 0});
  }
  /// The i-th kept tensor; RuntimeError when it was changed in place since.
  const Tensor& operator[](size_t i) const {
    const Item& item = items_[i];
    if (item.tensor.defined() && item.tensor.version() != item.version)
      throw RuntimeError(str(op_, ": a tensor of shape ", item.tensor.shape(),
                             " that its gradient needs was changed in place after use (version ", item.tensor.version(),
                             ", expected ", item.version, ")"));
    return item.tensor;
  }
  size_t size() const { return items_.size(); }

 private:
  template <class Op>
  friend struct OpNode;
  struct Item {
    Tensor tensor;
    uint32_t version;
  };
  bool recording_;
  const char* op_ = "";
  std::vector<Item> items_;
};

/// Gradients that backward returns: dx[i] = ...; only where dx.needs(i).
class Grads {
 public:
  explicit Grads(const Node& node) : node_(node), values_(node.edges.size()) {}
  bool needs(size_t i) const { return node_.wants(i); }
  Tensor& operator[](size_t i) { return values_[i]; }
  size_t size() const { return values_.size(); }
  std::vector<Tensor> take() { return std::move(values_); }

 private:
  const Node& node_;
  std::vector<Tensor> values_;
};

template <class Op>
struct OpNode : Node {
  Op op;
  Saved saved;
  bool released = false;

  OpNode(Op&& o, Saved&& s) : op(std::move(o)), saved(std::move(s)) { saved.op_ = op.name; }
  std::string name() const override { return op.name; }
  std::vector<Tensor> backward(std::vector<Tensor>& dy) override {
    if (released)
      throw RuntimeError(str(op.name,
                             ": backward through this graph a second time; its saved tensors were freed by "
                             "the first (use retain_graph=True)"));
    Grads dx(*this);
    op.backward(saved, dy, dx);
    return dx.take();
  }
  void release() override {
    released = true;
    saved.items_.clear();
  }
};

namespace detail {

inline bool wants_grad(const Tensor& x) { return x.requires_grad(); }
inline bool wants_grad(const std::vector<Tensor>& xs) {
  for (const Tensor& x : xs)
    if (x.requires_grad()) return true;
  return false;
}
template <class T>
inline bool wants_grad(const T&) {
  return false;
}

inline Edge edge_of(const Tensor& x) { return x.defined() ? grad_edge(x) : Edge{}; }
inline void add_edges(Node& n, const Tensor& x) { n.edges.push_back(edge_of(x)); }
inline void add_edges(Node& n, const std::vector<Tensor>& xs) {
  for (const Tensor& x : xs) n.edges.push_back(edge_of(x));
}
template <class T>
inline void add_edges(Node&, const T&) {}

// The device of the first tensor among the arguments.
inline bool note_device(DeviceIndex& d, const Tensor& x) {
  if (!x.defined()) return false;
  d = x.device();
  return true;
}
inline bool note_device(DeviceIndex& d, const std::vector<Tensor>& xs) {
  for (const Tensor& x : xs)
    if (note_device(d, x)) return true;
  return false;
}
template <class T>
inline bool note_device(DeviceIndex&, const T&) {
  return false;
}
template <class... A>
inline DeviceIndex device_of(const A&... args) {
  DeviceIndex d = current_device();
  (void)(note_device(d, args) || ...);
  return d;
}

inline void check_device_of(const char* op, DeviceIndex device, const Tensor& x) {
  if (x.defined() && __builtin_expect(x.device() != device, 0)) throw_apart(op, device, x);
}
inline void check_device_of(const char* op, DeviceIndex device, const std::vector<Tensor>& xs) {
  for (const Tensor& x : xs) check_device_of(op, device, x);
}
template <class T>
inline void check_device_of(const char*, DeviceIndex, const T&) {}

template <class F>
inline void each_output(const Tensor& out, F&& f) {
  f(out);
}
template <class F>
inline void each_output(const std::vector<Tensor>& out, F&& f) {
  for (const Tensor& t : out) f(t);
}
template <class F, class... T>
inline void each_output(const std::tuple<T...>& out, F&& f) {
  std::apply([&](const auto&... t) { (f(t), ...); }, out);
}

}  // namespace detail

// An op without a backward (comparisons, argmax) records nothing.
template <class Op, class = void>
struct has_backward : std::false_type {};
template <class Op>
struct has_backward<Op, std::void_t<decltype(&Op::backward)>> : std::true_type {};

// An op whose tensors may lie on different devices says so: static constexpr bool across_devices = true.
template <class Op, class = void>
struct across_devices : std::false_type {};
template <class Op>
struct across_devices<Op, std::void_t<decltype(Op::across_devices)>> : std::true_type {};

template <class Op, class... A>
auto apply(const A&... args) {
  Op op{};
  const DeviceGuard here(detail::device_of(args...));
  op.check(args...);
  if constexpr (!across_devices<Op>::value) (detail::check_device_of(op.name, current_device(), args), ...);
  const char* const name = op.name;  // a constant of the type, or of the op where one struct serves a table of them
  Saved saved(has_backward<Op>::value && grad_enabled() && (detail::wants_grad(args) || ...));
  auto out = op.forward(saved, args...);
  if constexpr (has_backward<Op>::value) {
    if (saved.recording()) {
      Ref<Node> node(new OpNode<Op>(std::move(op), std::move(saved)));
      (detail::add_edges(*node, args), ...);
      detail::each_output(out, [&](const Tensor& t) { set_history(t, node); });
    }
  }
  if (anomaly_enabled()) detail::each_output(out, [&](const Tensor& t) { check_anomaly(name, "its output", t); });
  return out;
}

}  // namespace fastnn
