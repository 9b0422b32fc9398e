// Backward: the graph is walked with explicit stacks, so its depth is bounded by memory alone.

#include <pthread.h>

#include <new>
#include <unordered_map>

#include "autograd/node.h"
#include "ops/elementwise/elementwise.h"

namespace fastnn {

void Node::destroy(Node* n) {
  // A chain of a million nodes must not recurse: nodes that fall free while one is being deleted wait in a list.
  thread_local std::vector<Node*>* waiting = nullptr;
  if (waiting) {
    waiting->push_back(n);
    return;
  }
  std::vector<Node*> list{n};
  waiting = &list;
  while (!list.empty()) {
    Node* next = list.back();
    list.pop_back();
    delete next;
  }
  waiting = nullptr;
}

namespace {

// Adds g to what has gathered. A sum that nobody else can see is added to in place.
void gather(Tensor& sum, const Tensor& g) {
  if (!sum.defined()) {
    sum = g;
    return;
  }
  if (sum.impl()->ref_count() == 1 && sum.impl()->storage->ref_count() == 1 && sum.is_contiguous())
    add_into(sum, g);
  else
    sum = add(sum, g);
}

// One backward pass at a time: passes of two threads may share nodes. Recursive, because a user's backward may start
// one.
std::recursive_mutex& pass_mutex() {
  static std::recursive_mutex* m = [] {
    auto* made = new std::recursive_mutex;
    pthread_atfork(nullptr, nullptr, [] { new (&pass_mutex()) std::recursive_mutex; });
    return made;
  }();
  return *m;
}

struct Target {
  Edge edge;
  Tensor found;
};

struct Pass {
  std::vector<Ref<Node>> nodes;  // as discovered
  std::unordered_map<Node*, uint32_t> index;
  std::vector<std::vector<Tensor>> gathered;  // gradients of each node's outputs
  std::vector<uint32_t> order;                // every node after all nodes that send it gradients

  uint32_t id_of(const Ref<Node>& n, std::vector<uint32_t>& stack) {
    const auto [at, fresh] = index.emplace(n.get(), static_cast<uint32_t>(nodes.size()));
    if (fresh) {
      nodes.push_back(n);
      stack.push_back(at->second);
    }
    return at->second;
  }

  void discover(const std::vector<Edge>& roots) {
    std::vector<uint32_t> stack, incoming;
    for (const Edge& e : roots) id_of(e.node, stack);
    while (!stack.empty()) {
      const Ref<Node> n = nodes[stack.back()];
      stack.pop_back();
      for (const Edge& e : n->edges)
        if (e.node) {
          const uint32_t id = id_of(e.node, stack);
          if (incoming.size() <= id) incoming.resize(nodes.size() + 64, 0);
          ++incoming[id];
        }
    }
    incoming.resize(nodes.size(), 0);
    for (uint32_t i = static_cast<uint32_t>(nodes.size()); i-- > 0;)
      if (incoming[i] == 0) stack.push_back(i);
    while (!stack.empty()) {
      const uint32_t i = stack.back();
      stack.pop_back();
      order.push_back(i);
      for (const Edge& e : nodes[i]->edges)
        if (e.node) {
          const uint32_t id = index[e.node.get()];
          if (--incoming[id] == 0) stack.push_back(id);
        }
    }
    gathered.resize(nodes.size());
    for (size_t i = 0; i < nodes.size(); ++i) gathered[i].resize(nodes[i]->outputs.size());
  }
};

void check_gradient(const std::string& from, const Tensor& g, const OutputInfo& expected) {
  if (g.shape() != expected.shape || g.dtype() != expected.dtype)
    throw RuntimeError(str(from, ": its backward returned a gradient of shape ", g.shape(), " and dtype ", g.dtype(),
                           " for an input of shape ", expected.shape, " and dtype ", expected.dtype));
  if (g.device() != expected.device)
    throw DeviceError(str(from, ": its backward returned a gradient on ", device_name(g.device()), " for an input on ",
                          device_name(expected.device)));
}

// A copy: the hooks may remove themselves, and other threads may add some meanwhile.
std::vector<Node::SlotHook> hooks_of(const Node& node) {
  if (!node.hooked.load(std::memory_order_acquire)) return {};
  std::lock_guard<std::mutex> lock(hooks_mutex());
  return node.hooks;
}

void run(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, bool retain_graph,
         std::vector<Target>* targets) {
  std::vector<Edge> edges;
  std::vector<Tensor> seeds;
  for (size_t i = 0; i < roots.size(); ++i) {
    const Tensor& root = roots[i];
    const Edge e = grad_edge(root);
    if (!e.node)
      throw RuntimeError(
          str("backward: tensor ", i, " (shape ", root.shape(), ") does not require grad and has no history"));
    Tensor g = i < grads.size() ? grads[i] : Tensor();
    if (!g.defined()) {
      if (root.numel() != 1)
        throw RuntimeError(
            str("backward: a gradient must be given for a tensor that is not a scalar, got shape ", root.shape()));
      const DeviceGuard here(root.device());
      g = empty(root.shape(), root.dtype());
      fill_into(g, Scalar(1.0));
    } else if (g.shape() != root.shape() || g.dtype() != root.dtype()) {
      throw ValueError(str("backward: expected a gradient of shape ", root.shape(), " and dtype ", root.dtype(),
                           ", got ", g.shape(), " and ", g.dtype()));
    } else if (g.device() != root.device()) {
      throw DeviceError(str("backward: expected a gradient on ", device_name(root.device()), ", got one on ",
                            device_name(g.device())));
    }
    edges.push_back(e);
    seeds.push_back(g);
  }

  NoGrad guard;
  std::lock_guard<std::recursive_mutex> one_pass(pass_mutex());
  Pass pass;
  pass.discover(edges);

  // With targets, only nodes on a path to one of them run.
  std::vector<char> needed(pass.nodes.size(), targets == nullptr);
  std::unordered_map<Node*, std::vector<Target*>> wanted;
  if (targets) {
    for (Target& t : *targets)
      if (pass.index.count(t.edge.node.get())) {
        wanted[t.edge.node.get()].push_back(&t);
        needed[pass.index[t.edge.node.get()]] = 1;
      }
    for (size_t k = pass.order.size(); k-- > 0;)
      for (const Edge& e : pass.nodes[pass.order[k]]->edges)
        if (e.node && needed[pass.index[e.node.get()]]) needed[pass.order[k]] = 1;
  }

  for (size_t i = 0; i < edges.size(); ++i)
    gather(pass.gathered[pass.index[edges[i].node.get()]][edges[i].slot], seeds[i]);
  seeds.clear();

  for (const uint32_t id : pass.order) {
    if (!needed[id]) continue;
    Node& node = *pass.nodes[id];
    std::vector<Tensor> dy = std::move(pass.gathered[id]);
    bool any = false;
    for (const Tensor& g : dy) any = any || g.defined();
    if (!any) continue;
    for (const Node::SlotHook& h : hooks_of(node)) {
      const uint32_t slot = h.slot;
      if (!dy[slot].defined()) continue;
      const Tensor changed = h.call(dy[slot]);
      if (!changed.defined()) continue;
      check_gradient("hook", changed, node.outputs[slot]);
      dy[slot] = changed;
    }
    if (targets) {
      const auto found = wanted.find(&node);
      if (found != wanted.end())
        for (Target* t : found->second) t->found = dy[t->edge.slot];
      if (dynamic_cast<AccumulateGrad*>(&node)) continue;
      bool further = false;
      for (const Edge& e : node.edges) further = further || (e.node && needed[pass.index[e.node.get()]]);
      if (!further) continue;
    }
    std::vector<Tensor> dx;
    {
      const auto first = std::find_if(dy.begin(), dy.end(), [](const Tensor& g) { return g.defined(); });
      const DeviceGuard here(first->device());
      dx = node.backward(dy);
    }
    dy.clear();
    if (dx.size() < node.edges.size()) dx.resize(node.edges.size());
    for (size_t i = 0; i < node.edges.size(); ++i) {
      const Edge& e = node.edges[i];
      if (!e.node || !dx[i].defined()) continue;
      check_gradient(node.name(), dx[i], e.node->outputs[e.slot]);
      if (anomaly_enabled()) check_anomaly(node.name(), "a gradient that its backward returned", dx[i]);
      Tensor g = std::move(dx[i]);
      gather(pass.gathered[pass.index[e.node.get()]][e.slot], g);
    }
    if (!retain_graph) node.release();
  }
}

}  // namespace

std::vector<Tensor> AccumulateGrad::backward(std::vector<Tensor>& dy) {
  const Tensor& g = dy[0];
  if (capturing()) detail::recorder->gradient(*this, false);
  Tensor
      before;  // goes after the lock: freeing foreign memory may wait for the interpreter, which may wait for the lock
  std::lock_guard<std::mutex> lock(mutex);
  if (grad.defined()) {
    // In place, so that the memory of .grad stays where it is over the steps.
    if (grad.impl()->storage->writable && !has_internal_overlap(grad) && !grad.requires_grad()) {
      add_into(grad, g);
      grad.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
    } else {
      before = grad;
      grad = add(before, g);
    }
  } else {
    // Keep g itself when nobody else holds it: `dy` is then its only owner.
    const bool alone = g.impl()->ref_count() == 1 && g.impl()->storage->ref_count() == 1 && g.is_contiguous();
    grad = alone ? g : clone(g);
  }
  return {};
}

void backward(const std::vector<Tensor>& roots, const std::vector<Tensor>& grads, bool retain_graph) {
  run(roots, grads, retain_graph, nullptr);
}

std::vector<Tensor> grad(const std::vector<Tensor>& roots, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& grads, bool retain_graph, bool allow_unused) {
  std::vector<Target> targets;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Edge e = grad_edge(inputs[i]);
    if (!e.node) throw RuntimeError(str("grad: input ", i, " does not require grad"));
    targets.push_back({e, Tensor()});
  }
  run(roots, grads, retain_graph, &targets);
  std::vector<Tensor> out;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!targets[i].found.defined() && !allow_unused)
      throw RuntimeError(
          str("grad: input ", i, " was not used for the outputs (allow_unused=True returns None for it)"));
    out.push_back(targets[i].found);
  }
  return out;
}

}  // namespace fastnn
