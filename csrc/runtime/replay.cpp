// Replays: inputs into their slots, the launches (on a device: graphs of them), copies of the outputs.

#include "runtime/capture.h"

namespace fastnn {

Tensor Program::copy_of(Output& output) {
  const Tensor& t = output.recorded;
  const int64_t bytes = t.numel() * t.itemsize();
  // An earlier result that nobody holds any more gives its memory.
  Ref<Storage>* place = nullptr;
  for (Ref<Storage>& g : output.given)
    if (g && g->ref_count() == 1) place = &g;
  if (!place) {
    place = !output.given[0] ? &output.given[0] : &output.given[1];
    const DeviceGuard here(t.device());
    *place = Storage::make(bytes);
  }
  copy_bytes(t.device(), t.device(), (*place)->data, t.address(), bytes);
  Ref<TensorImpl> impl(new TensorImpl);
  impl->storage = *place;
  impl->numel = t.numel();
  impl->dtype = t.dtype();
  impl->shape = t.shape();
  impl->strides = t.strides();
  return Tensor(std::move(impl));
}

std::vector<Tensor> Program::replay(const std::vector<Tensor>& inputs) {
  std::lock_guard<std::mutex> one_at_a_time(mutex_);
  if (phase_ != Phase::ready) throw RuntimeError("capture: nothing is recorded yet");
  load(inputs);
  for (const auto& r : randoms_) *r = fastnn::next_random();
  for (const auto& v : versions_) v.first->version.fetch_add(1, std::memory_order_relaxed);
  for (const Gradient& g : gradients_) {
    Tensor before = g.after;  // goes after the lock: its end may wait for the interpreter
    std::lock_guard<std::mutex> lock(g.box->mutex);
    if (g.box->grad.impl() != before.impl()) std::swap(g.box->grad, before);
  }
  run_calls();
  std::vector<Tensor> out;
  out.reserve(outputs_.size());
  for (Output& o : outputs_) out.push_back(copy_of(o));
  return out;
}

void Program::run_calls() {
  if (device_ == kCpu) {
    for (const Call& c : calls_) c.run(c.arguments);
    return;
  }
  const DeviceGuard here(device_);
  const bool each = device_api().blocking();
  if (!each && graphs_ && segments_.empty()) make_segments();
  if (each || !graphs_) {
    for (const Call& c : calls_) {
      if (c.check && !each) continue;
      const DeviceGuard there(c.device);
      c.run(c.arguments);
    }
    return;
  }
  for (const Segment& s : segments_) {
    if (s.graph) {
      device_api().graph_run(s.graph);
    } else {
      const DeviceGuard there(calls_[s.call].device);
      calls_[s.call].run(calls_[s.call].arguments);
    }
  }
}

void Program::make_segments() {
  const DeviceApi& api = device_api();
  const auto forget = [&] {
    api.graph_cancel();
    for (const Segment& s : segments_)
      if (s.graph) api.graph_destroy(s.graph);
    segments_.clear();
  };
  for (size_t i = 0; i < calls_.size();) {
    if (calls_[i].check) {
      ++i;
      continue;
    }
    if (calls_[i].device != device_) {
      segments_.push_back({nullptr, i++});
      continue;
    }
    try {
      api.graph_begin();
      for (; i < calls_.size() && (calls_[i].check || calls_[i].device == device_); ++i)
        if (!calls_[i].check) calls_[i].run(calls_[i].arguments);
      segments_.push_back({api.graph_end(), 0});
    } catch (const DeviceError&) {
      // Something that no graph can hold: the launches one by one are as right.
      forget();
      graphs_ = false;
      return;
    } catch (...) {  // no part of the segments may pass for all of them
      forget();
      throw;
    }
  }
}

}  // namespace fastnn
