#pragma once
// The gradient graph: a node per recorded operation, edges to the nodes that made its inputs.

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace fastnn {

/// Where a gradient goes: input `slot` of `node`'s outputs. No node: nobody wants it.
struct Edge {
  Ref<Node> node;
  uint32_t slot = 0;
};

/// What a node knows of an output: the gradient that comes back must look like it.
struct OutputInfo {
  Dims shape;
  DType dtype;
  DeviceIndex device;
};

using Hook = std::function<Tensor(const Tensor& grad)>;  // undefined result: gradient unchanged

struct Node : RefCounted<Node> {
  std::vector<Edge> edges;          // one per tensor input
  std::vector<OutputInfo> outputs;  // one per output
  struct SlotHook {
    uint32_t slot;
    int64_t id;
    Hook call;
  };
  std::vector<SlotHook> hooks;      // run on the gradient of an output before backward; under hooks_mutex()
  std::atomic<bool> hooked{false};  // whether there ever were any: spares most nodes the lock

  virtual ~Node() = default;
  virtual std::string name() const = 0;
  /// dy: one per output, undefined where nothing flowed. Returns one per edge, undefined where not wanted.
  virtual std::vector<Tensor> backward(std::vector<Tensor>& dy) = 0;
  /// Drops saved tensors; a later backward then reports that the graph was already used.
  virtual void release() {}
  /// Frees a chain of nodes of any length without recursion.
  static void destroy(Node* n);

  bool wants(size_t edge) const { return edge < edges.size() && edges[edge].node; }
};

/// Hooks come and go while another thread's backward runs them.
std::mutex& hooks_mutex();

/// The end of the graph at a leaf. It holds the leaf's .grad, so that neither owns the other.
struct AccumulateGrad : Node {
  std::mutex mutex;
  Tensor grad;
  explicit AccumulateGrad(const Tensor& x) { outputs.push_back({x.shape(), x.dtype(), x.device()}); }
  std::string name() const override { return "AccumulateGrad"; }
  std::vector<Tensor> backward(std::vector<Tensor>& dy) override;
};

/// The part of a tensor that only some need.
struct AutogradMeta {
  Ref<AccumulateGrad> box;  // of a leaf that requires grad, or of an inner tensor after retain_grad()
  bool retains_grad = false;
  // Views: the tensor whose memory and history this one looks into, and that tensor's generation when grad_fn was made.
  Tensor base;
  uint32_t base_generation = 0;
  uint32_t generation = 0;  // of this tensor as a base: recorded in-place operations on it or its views
};

AutogradMeta& autograd_meta(const Tensor& x);

bool grad_enabled();
void set_grad_enabled(bool on);
struct NoGrad {
  bool before = grad_enabled();
  NoGrad() { set_grad_enabled(false); }
  ~NoGrad() { set_grad_enabled(before); }
};

bool anomaly_enabled();
void set_anomaly_enabled(bool on);
/// Throws RuntimeError naming `op` when x holds a NaN.
void check_anomaly(const std::string& op, const char* what, const Tensor& x);

/// The edge that a gradient of x follows; no node when x needs none.
Edge grad_edge(const Tensor& x);
/// The node that made x (for a view whose base changed in place: made anew), or null for a leaf.
Ref<Node> grad_fn(const Tensor& x);
/// Makes `node` the maker of `out` and appends its OutputInfo. Only for floating tensors.
void set_history(const Tensor& out, const Ref<Node>& node);
/// Marks `view` as a view of x (or of x's base).
void set_view(const Tensor& view, const Tensor& x);
/// Before an operation writes into x: checks that it may, and (when recording) that x is not a leaf that requires grad.
void begin_inplace(const char* op, const Tensor& x);
/// After it: counts the version, and, when `result` carries history, makes x (and the base it looks into) carry it.
void end_inplace(const Tensor& x, const Tensor& result);

/// The .grad of x (undefined when there is none), and setting it (shape and dtype are checked; undefined clears it).
Tensor get_grad(const Tensor& x);
void set_grad(const Tensor& x, const Tensor& grad);
void set_requires_grad(const Tensor& x, bool on);
void retain_grad(const Tensor& x);
/// Calls `hook` on gradients of x; returns a handle for remove_hook.
int64_t register_hook(const Tensor& x, Hook hook);
void remove_hook(const Tensor& x, int64_t id);

/// Gradients of the roots, added into the .grad of every leaf. Missing `grads` of one-element roots are ones.
void backward(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, bool retain_graph);
/// Gradients of the roots with respect to `inputs`, returned; nothing is added to any .grad.
std::vector<Tensor> grad(const std::vector<Tensor>& roots, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& grads, bool retain_graph, bool allow_unused);

namespace detail {
/// DeviceError: `op` got a tensor on `device`, and x elsewhere.
[[noreturn]] void throw_apart(const char* op, DeviceIndex device, const Tensor& x);
}  // namespace detail

}  // namespace fastnn
