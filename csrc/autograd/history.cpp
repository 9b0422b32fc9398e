// Where tensors meet the graph: leaves, views, in-place operations, hooks.

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>

#include "autograd/leaf.h"
#include "autograd/node.h"
#include "ops/elementwise/elementwise.h"

namespace fastnn {
namespace {

thread_local bool grad_mode = true;
std::atomic<bool> anomaly_mode{false};
std::atomic<int64_t> next_hook_id{1};

// How a view lies in the memory of its base, kept so that gradients can be laid out the same way.
struct Window {
  Dims shape, strides;
  int64_t offset;
};
Window window_of(const Tensor& x) { return {x.shape(), x.strides(), x.impl()->offset}; }

void add_hook(Node& node, Node::SlotHook hook) {
  std::lock_guard<std::mutex> lock(hooks_mutex());
  node.hooks.push_back(std::move(hook));
  node.hooked.store(true, std::memory_order_release);
}

// Zeros laid out like `base`, and the part of them that `view` sees.
struct Layout {
  Tensor base, view;
};
Layout lay_out(const Window& base, const Window& view, DType dtype) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < base.shape.size(); ++i) {
    const int64_t reach = (base.shape[i] - 1) * base.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  const Tensor memory = empty({numel_of(base.shape) == 0 ? 0 : high - low + 1}, dtype);
  fill_into(memory, Scalar(0.0));
  return {alias(memory, base.shape, base.strides, -low),
          alias(memory, view.shape, view.strides, view.offset - base.offset - low)};
}

// y = window of x. dx = zeros with dy added at the window.
struct ViewNode : Node {
  Window base, view;
  std::string name() const override { return "view"; }
  std::vector<Tensor> backward(std::vector<Tensor>& dy) override {
    Layout g = lay_out(base, view, dy[0].dtype());
    if (has_internal_overlap(g.view))
      add_overlapping(g.view, dy[0]);
    else
      copy_into(g.view, dy[0]);
    return {g.base};
  }
  // An expanded window sees an element several times: their gradients add up, one position of the shared axes at a
  // time.
  static void add_overlapping(const Tensor& to, const Tensor& dy) {
    NoGrad guard;
    Dims shape = to.shape(), stride_to = to.strides(), stride_dy = dy.strides();
    for (int axis = 0; axis < shape.size(); ++axis) {
      if (shape[axis] <= 1) continue;
      const int64_t n = shape[axis];
      shape.erase(axis);
      stride_to.erase(axis);
      stride_dy.erase(axis);
      for (int64_t i = 0; i < n; ++i)
        add_overlapping(alias(to, shape, stride_to, to.impl()->offset + i * to.strides()[axis]),
                        alias(dy, shape, stride_dy, dy.impl()->offset + i * dy.strides()[axis]));
      return;
    }
    add_into(to, dy);
  }
};

// base_new = base_old with the window replaced by r. d base_old = dy with zeros in the window, d r = dy at the window.
struct ViewAssignNode : Node {
  Window base, view;
  std::string name() const override { return "view_assign"; }
  std::vector<Tensor> backward(std::vector<Tensor>& dy) override {
    Layout g = lay_out(base, view, dy[0].dtype());
    copy_into(g.base, dy[0]);
    Tensor dr = wants(1) ? clone(g.view) : Tensor();
    if (!wants(0)) return {Tensor(), dr};
    fill_into(g.view, Scalar(0.0));
    return {g.base, dr};
  }
};

}  // namespace

bool grad_enabled() { return grad_mode; }
void set_grad_enabled(bool on) { grad_mode = on; }
bool anomaly_enabled() { return anomaly_mode.load(std::memory_order_relaxed); }
void set_anomaly_enabled(bool on) { anomaly_mode.store(on); }

void check_anomaly(const std::string& op, const char* what, const Tensor& x) {
  if (!x.defined() || !x.is_floating() || !has_nan(x)) return;
  throw RuntimeError(
      str("detect_anomaly: ", op, " is the first operation with a NaN in ", what, " (shape ", x.shape(), ")"));
}

AutogradMeta& autograd_meta(const Tensor& x) {
  auto& meta = x.impl()->meta;
  if (!meta) meta = std::make_unique<AutogradMeta>();
  return *meta;
}

Ref<Node> grad_fn(const Tensor& x) {
  TensorImpl* t = x.impl();
  if (!t->meta || !t->meta->base.defined()) return t->grad_fn;
  AutogradMeta& meta = *t->meta;
  const Tensor& base = meta.base;
  const uint32_t now = base.impl()->meta ? base.impl()->meta->generation : 0;
  if (now == meta.base_generation) return t->grad_fn;
  // The base was changed in place since: what this view shows now comes from the base's new history.
  meta.base_generation = now;
  const Edge to_base = grad_edge(base);
  if (!to_base.node) {
    t->grad_fn = nullptr;
    return nullptr;
  }
  auto* node = new ViewNode;
  Ref<Node> ref(node);
  node->base = window_of(base);
  node->view = window_of(x);
  node->edges.push_back(to_base);
  node->outputs.push_back({x.shape(), x.dtype(), x.device()});
  t->grad_fn = ref;
  t->grad_slot = 0;
  return ref;
}

Edge grad_edge(const Tensor& x) {
  if (Ref<Node> node = grad_fn(x)) return {node, x.impl()->grad_slot};
  if (capturing()) detail::recorder->leaf(*x.impl());
  if (x.impl()->requires_grad) return {Ref<Node>(autograd_meta(x).box.get()), 0};
  return {};
}

void set_history(const Tensor& out, const Ref<Node>& node) {
  const uint32_t slot = static_cast<uint32_t>(node->outputs.size());
  node->outputs.push_back({out.shape(), out.dtype(), out.device()});
  if (!out.is_floating()) return;
  out.impl()->grad_fn = node;
  out.impl()->grad_slot = slot;
}

void set_view(const Tensor& view, const Tensor& x) {
  AutogradMeta& meta = autograd_meta(view);
  const bool chained = x.impl()->meta && x.impl()->meta->base.defined();
  meta.base = chained ? x.impl()->meta->base : x;
  const auto& base_meta = meta.base.impl()->meta;
  meta.base_generation = base_meta ? base_meta->generation : 0;
}

void begin_inplace(const char* op, const Tensor& x) {
  check_writable(op, x);
  if (!grad_enabled()) return;
  if (x.impl()->requires_grad && x.is_leaf())
    throw RuntimeError(
        str(op, ": a leaf tensor that requires grad cannot be changed in place while recording; use no_grad()"));
  const auto& meta = x.impl()->meta;
  if (meta && meta->base.defined() && meta->base.is_leaf() && meta->base.impl()->requires_grad)
    throw RuntimeError(str(
        op, ": a view of a leaf tensor that requires grad cannot be changed in place while recording; use no_grad()"));
}

void end_inplace(const Tensor& x, const Tensor& result) {
  TensorImpl* t = x.impl();
  t->storage->version.fetch_add(1, std::memory_order_relaxed);
  if (!grad_enabled()) return;
  const bool has_base = t->meta && t->meta->base.defined();
  const Tensor base = has_base ? t->meta->base : x;
  const bool records = result.defined() && result.impl()->grad_fn;
  if (!records && !base.requires_grad() && !x.requires_grad()) return;
  const Ref<Node> made = records ? result.impl()->grad_fn : Ref<Node>();
  const uint32_t slot = records ? result.impl()->grad_slot : 0;
  if (has_base) {
    auto* node = new ViewAssignNode;
    Ref<Node> ref(node);
    node->base = window_of(base);
    node->view = window_of(x);
    node->edges = {grad_edge(base), Edge{made, slot}};
    node->outputs.push_back({base.shape(), base.dtype(), base.device()});
    base.impl()->grad_fn = ref;
    base.impl()->grad_slot = 0;
  }
  t->grad_fn = made;
  t->grad_slot = slot;
  const uint32_t generation = ++autograd_meta(base).generation;
  if (has_base) t->meta->base_generation = generation;
}

Tensor get_grad(const Tensor& x) {
  const auto& meta = x.impl()->meta;
  if (!meta || !meta->box) return Tensor();
  if (capturing()) detail::recorder->gradient(*meta->box, false);
  std::lock_guard<std::mutex> lock(meta->box->mutex);
  return meta->box->grad;
}

void detail::throw_apart(const char* op, DeviceIndex device, const Tensor& x) {
  throw DeviceError(str(op, ": expected tensors on one device, got one on ", device_name(device), " and one of shape ",
                        x.shape(), " on ", device_name(x.device()), "; move one with .to(device)"));
}

void set_grad(const Tensor& x, const Tensor& grad) {
  if (grad.defined() && (grad.shape() != x.shape() || grad.dtype() != x.dtype()))
    throw ValueError(str("grad: expected shape ", x.shape(), " and dtype ", x.dtype(), ", got ", grad.shape(), " and ",
                         grad.dtype()));
  if (grad.defined() && grad.device() != x.device())
    throw DeviceError(
        str("grad: expected a tensor on ", device_name(x.device()), ", got one on ", device_name(grad.device())));
  AutogradMeta& meta = autograd_meta(x);
  if (!meta.box) meta.box = Ref<AccumulateGrad>(new AccumulateGrad(x));
  if (capturing()) detail::recorder->gradient(*meta.box, true);
  Tensor before;  // goes after the lock, see AccumulateGrad
  std::lock_guard<std::mutex> lock(meta.box->mutex);
  before = std::move(meta.box->grad);
  meta.box->grad = grad;
}

void set_requires_grad(const Tensor& x, bool on) {
  if (on && !x.is_floating())
    throw TypeError(str("requires_grad: only floating tensors have gradients, got dtype ", x.dtype()));
  if (!x.is_leaf()) {
    if (on) return;
    throw RuntimeError("requires_grad: only a leaf can stop requiring grad; use detach()");
  }
  if (on) {
    AutogradMeta& meta = autograd_meta(x);
    if (!meta.box) meta.box = Ref<AccumulateGrad>(new AccumulateGrad(x));
  }
  x.impl()->requires_grad = on;
}

namespace {

/// Graphs of before end in the old box: what arrives there goes on to the one that x has by then.
void renew_box(const Tensor& x) {
  AutogradMeta& meta = *x.impl()->meta;
  const Ref<AccumulateGrad> before = std::move(meta.box);
  meta.box = Ref<AccumulateGrad>(new AccumulateGrad(x));
  Tensor held;  // goes after the lock
  {
    // Somebody may hold the gradient so far: what passes through the old box must not be added to it.
    std::lock_guard<std::mutex> own(before->mutex);
    held = std::move(before->grad);
  }
  std::lock_guard<std::mutex> lock(hooks_mutex());
  meta.box->hooks = before->hooks;
  meta.box->hooked.store(before->hooked.load());
  if (before->ref_count() == 1) return;  // no graph holds it
  before->hooks.push_back({0, next_hook_id++, [x](const Tensor& g) {
                             if (g.shape() != x.shape())
                               throw RuntimeError(str("backward: a gradient of shape ", g.shape(),
                                                      " arrived at a tensor that was given data of shape ", x.shape(),
                                                      " since; run the forward pass again"));
                             const DeviceGuard here(x.device());
                             std::vector<Tensor> dy{to(to_device(g, x.device()), x.dtype())};
                             const Ref<AccumulateGrad> now = x.impl()->meta->box;
                             now->backward(dy);
                             return Tensor();
                           }});
  before->hooked.store(true, std::memory_order_release);
}

}  // namespace

void set_data(const Tensor& x, const Tensor& data) {
  TensorImpl& t = *x.impl();
  if (t.requires_grad && !data.is_floating())
    throw TypeError(str("data: a tensor that requires grad cannot become ", data.dtype()));
  if (t.grad_fn) throw RuntimeError("data: only a leaf tensor can be given other data");
  const TensorImpl& from = *data.impl();
  const bool other = t.storage->device != from.storage->device || t.shape != from.shape || t.dtype != from.dtype;
  t.storage = from.storage;
  t.offset = from.offset;
  t.numel = from.numel;
  t.dtype = from.dtype;
  t.contiguous = from.contiguous;
  t.shape = from.shape;
  t.strides = from.strides;
  if (other && t.meta && t.meta->box) renew_box(x);
}

std::mutex& hooks_mutex() {
  // A child forked while another thread holds it must not inherit a locked mutex.
  static std::mutex* m = [] {
    auto* made = new std::mutex;
    pthread_atfork(nullptr, nullptr, [] { new (&hooks_mutex()) std::mutex; });
    return made;
  }();
  return *m;
}

void retain_grad(const Tensor& x) {
  if (!x.requires_grad()) throw RuntimeError("retain_grad: the tensor does not require grad");
  const Ref<Node> node = grad_fn(x);
  AutogradMeta& meta = autograd_meta(x);
  if (!node || meta.retains_grad) return;
  meta.retains_grad = true;
  if (!meta.box) meta.box = Ref<AccumulateGrad>(new AccumulateGrad(x));
  Ref<AccumulateGrad> box = meta.box;
  add_hook(*node, {x.impl()->grad_slot, next_hook_id++, [box](const Tensor& g) {
                     std::vector<Tensor> dy{g};
                     box->backward(dy);
                     return Tensor();
                   }});
}

int64_t register_hook(const Tensor& x, Hook hook) {
  const Edge edge = x.defined() ? grad_edge(x) : Edge{};
  if (!edge.node) throw RuntimeError("register_hook: the tensor does not require grad");
  const int64_t id = next_hook_id++;
  add_hook(*edge.node, {edge.slot, id, std::move(hook)});
  return id;
}

void remove_hook(const Tensor& x, int64_t id) {
  const Edge edge = grad_edge(x);
  if (!edge.node) return;
  Hook removed;  // goes after the lock: it may own Python objects, whose end waits for the interpreter
  std::lock_guard<std::mutex> lock(hooks_mutex());
  auto& hooks = edge.node->hooks;
  const auto at = std::find_if(hooks.begin(), hooks.end(), [id](const Node::SlotHook& h) { return h.id == id; });
  if (at == hooks.end()) return;
  removed = std::move(at->call);
  hooks.erase(at);
}

}  // namespace fastnn
