#include "runtime/capture.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace fastnn {

namespace detail {
thread_local Recorder* recorder = nullptr;
}
thread_local bool Checking::active = false;

std::string (*capture_location)() = nullptr;

namespace {
/// Notes the message, with the line of the user's that it is about, so that catching the error does not hide it.
[[noreturn]] void refuse(Recorder& recorder, const std::string& what) {
  const std::string message = capture_location ? str(what, " (", capture_location(), ")") : what;
  recorder.refused(message.c_str());
  throw CaptureError(message);
}
}  // namespace

void refuse_in_capture(const char* what) {
  if (!capturing()) return;
  refuse(*detail::recorder, str(what,
                                " inside a captured step: every replay would see the value of the recording. Return "
                                "the tensor from the step, or pass the value as an argument."));
}

namespace {

std::atomic<uint32_t> next_token{1};

void drop_storage(void* owner) { static_cast<Storage*>(owner)->drop_ref(); }

/// The strides of a tensor that is to kernels what x is, with small gaps for large ones: the same order of axes in
/// memory and directions, steps of one element where x has them, gaps where x has some, repeated elements. The order of
/// a reduction's sum, and so its bits, may depend on all that.
Dims compact_strides(const Tensor& x) {
  const int rank = static_cast<int>(x.dim());
  Dims strides = x.shape();
  int order[kMaxRank], used = 0;  // axes that move, the widest steps first
  const auto length = [&](int axis) { return x.strides()[axis] < 0 ? -x.strides()[axis] : x.strides()[axis]; };
  for (int axis = 0; axis < rank; ++axis) {
    strides[axis] = x.shape()[axis] > 1 ? 0 : 1;
    if (x.shape()[axis] <= 1 || x.strides()[axis] == 0) continue;
    int at = used++;
    for (; at > 0 && length(order[at - 1]) < length(axis); --at) order[at] = order[at - 1];
    order[at] = axis;
  }
  int64_t step = 1, next = 1;  // of the axis at hand, and of x if it has no gap there
  for (int i = used; i-- > 0;) {
    const int axis = order[i];
    if (length(axis) != next) step += i + 1 == used ? 1 : step / x.shape()[order[i + 1]];
    strides[axis] = x.strides()[axis] < 0 ? -step : step;
    step *= x.shape()[axis];
    next = length(axis) * x.shape()[axis];
  }
  return strides;
}

Tensor make_slot(const Tensor& x) {
  const DeviceGuard here(x.device());
  if (x.is_contiguous()) return empty(x.shape(), x.dtype());
  const Dims strides = compact_strides(x);
  int64_t low = 0, high = 0;
  for (int axis = 0; axis < strides.size(); ++axis)
    (strides[axis] < 0 ? low : high) += (x.shape()[axis] - 1) * strides[axis];
  return alias(empty({high - low + 1}, x.dtype()), x.shape(), strides, -low);
}

/// x without the repetitions of axes of stride 0 in `like`.
Tensor once(const Tensor& x, const Tensor& like) {
  Dims shape = x.shape();
  for (int axis = 0; axis < shape.size(); ++axis)
    if (like.strides()[axis] == 0) shape[axis] = 1;
  return alias(x, shape, x.strides(), x.impl()->offset);
}

const void* memory_of(const AccumulateGrad& box) {
  return box.grad.defined() ? box.grad.impl()->storage.get() : nullptr;
}

}  // namespace

Program::Program(const std::vector<Tensor>& examples, Copy copy) : copy_(copy) {
  for (const Tensor& x : examples) {
    slots_.push_back(make_slot(x));
    if (x.device() != kCpu) device_ = x.device();
    if (x.requires_grad()) set_requires_grad(slots_.back(), true);
  }
}

Program::~Program() { clear_recording(); }

void Program::clear_recording() {
  for (const Segment& s : segments_)
    if (s.graph) device_api().graph_destroy(s.graph);
  segments_.clear();
  graphs_ = true;
  for (const Call& c : calls_) c.destroy(c.arguments);
  calls_.clear();
  held_.clear();
  versions_.clear();
  randoms_.clear();
  leaves_.clear();
  gradients_.clear();
  outputs_.clear();
  uses_.clear();
}

// An input is read where it is if the step never wrote to it, does not return it, and every argument that points into
// it points to its begin. Small ones are cheaper to copy.
Program::Uses Program::uses_of(const Tensor& slot) const {
  constexpr int64_t kLarge = 4096;
  const Storage& s = *slot.impl()->storage;
  Uses uses;
  // A graph has its addresses for good.
  if (s.device != kCpu || device_ != kCpu) return uses;
  if (s.bytes < kLarge || !slot.is_contiguous() || slot.requires_grad()) return uses;
  for (const auto& [storage, version] : versions_)
    if (storage.get() == &s && storage->version.load() != version) return uses;
  for (const Output& o : outputs_)
    if (o.recorded.impl()->storage.get() == &s) return uses;
  for (const Gradient& g : gradients_) {  // w.grad = argument: an optimiser keeps its address
    std::lock_guard<std::mutex> lock(g.box->mutex);
    if (memory_of(*g.box) == &s) return uses;
  }
  const auto begin = reinterpret_cast<uintptr_t>(s.data), end = begin + static_cast<uintptr_t>(s.bytes);
  for (const Call& c : calls_) {
    if (c.bytes == 0) return uses;
    for (size_t k = 0; k + sizeof(void*) <= c.bytes; k += sizeof(void*)) {
      void* at = static_cast<char*>(c.arguments) + k;
      uintptr_t value;
      std::memcpy(&value, at, sizeof value);
      if (value == begin) uses.at.push_back(at);
      if (value > begin && value < end) return uses;
    }
  }
  uses.in_place = true;
  return uses;
}

void Program::drop_slots() {
  if (phase_ != Phase::ready) return;
  std::lock_guard<std::mutex> one_at_a_time(mutex_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    TensorImpl& t = *slots_[i].impl();
    if (!uses_[i].in_place || t.ref_count() != 1 || t.storage->ref_count() != 1 || t.storage->bytes == 0) continue;
    t.storage = Storage::make(0);
  }
}

bool Program::fits(size_t i, const Tensor& x) const {
  const TensorImpl &to = *slots_[i].impl(), &from = *x.impl();
  if (from.storage->device != to.storage->device) return false;
  if (from.shape != to.shape || from.dtype != to.dtype || x.requires_grad() != to.requires_grad) return false;
  return from.contiguous ? to.contiguous : from.strides == to.strides || compact_strides(x) == to.strides;
}

bool Program::writes(const Storage& s) const {
  const auto meets = [&](const Storage& t) {
    const char *a = static_cast<const char*>(s.data), *b = static_cast<const char*>(t.data);
    return a < b + t.bytes && b < a + s.bytes;
  };
  return meets(*arena_) ||
         std::any_of(versions_.begin(), versions_.end(), [&](const auto& v) { return meets(*v.first); });
}

void Program::load(const std::vector<Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor &from = inputs[i], &to = slots_[i];
    if (i < uses_.size() && uses_[i].in_place) {
      const void* address = from.raw();
      if (writes(*from.impl()->storage)) {  // a parameter, say: the step reads it as it was before
        const auto bytes = from.numel() * from.itemsize();
        own_.resize(inputs.size());
        if (!own_[i].get()) own_[i] = Storage::make(bytes);
        std::memcpy(own_[i]->data, address, static_cast<size_t>(bytes));
        address = own_[i]->data;
      }
      for (void* at : uses_[i].at) std::memcpy(at, &address, sizeof address);
      continue;
    }
    if (from.impl()->storage == to.impl()->storage && from.impl()->offset == to.impl()->offset) continue;
    if (to.is_contiguous() && from.is_contiguous())
      copy_bytes(from.device(), to.device(), to.address(), from.address(), from.numel() * from.itemsize());
    else
      copy_(once(to, to), once(from, to));
  }
}

void Program::begin() {
  if (capturing()) throw CaptureError("capture: a step cannot be captured inside another");
  launches_ = 0;
  refused_.clear();
  traced_token_ = phase_ == Phase::record ? token_ : 0;
  token_ = next_token.fetch_add(1);
  if (phase_ == Phase::trace) {
    plan_.clear();
    traced_.clear();
  }
  if (phase_ == Phase::record) {
    plan_.lay_out();
    plan_.begin_run();
    const DeviceGuard here(device_);
    arena_ = Storage::make(plan_.bytes());
    unplanned_bytes_ = 0;
  }
  next_buffer_ = 0;
  detail::recorder = this;
}

void Program::end(const std::vector<Tensor>& outputs) {
  detail::recorder = nullptr;
  if (!refused_.empty()) throw CaptureError(refused_);
  if (phase_ == Phase::record) {
    if (launches_ != traced_.size() || !plan_.launch())
      throw CaptureError(str("capture: the step did not do the same when it was run again (", traced_.size(),
                             " kernels, then ", launches_, "), so no replay could be right"));
    for (const Tensor& t : outputs) outputs_.push_back({t.detach(), {}});
    for (const Tensor& slot : slots_) uses_.push_back(uses_of(slot));
    const auto is_slot = [&](const Storage* s) {
      return std::any_of(slots_.begin(), slots_.end(), [s](const Tensor& t) { return t.impl()->storage.get() == s; });
    };
    for (const auto& [storage, version] : versions_)
      if (is_slot(storage.get()) && storage->version.load() != version)
        throw CaptureError(
            "capture: the step changes an argument in place, which its caller would not see; change a clone and return "
            "it, or keep the tensor outside");
    held_.erase(std::remove_if(held_.begin(), held_.end(), [&](const auto& h) { return is_slot(h.get()); }),
                held_.end());
    versions_.erase(
        std::remove_if(versions_.begin(), versions_.end(), [&](const auto& v) { return is_slot(v.first.get()); }),
        versions_.end());
    // What the step changed in place, every replay changes: graphs made outside must notice.
    const auto unchanged = [](const auto& v) { return v.first->version.load() == v.second; };
    versions_.erase(std::remove_if(versions_.begin(), versions_.end(), unchanged), versions_.end());
    for (Gradient& g : gradients_) {
      std::lock_guard<std::mutex> lock(g.box->mutex);
      g.after = g.box->grad;
    }
    int64_t bytes = plan_.bytes();
    for (const auto& h : held_) bytes += h->bytes;
    long_ = calls_.size() > 100 || bytes > 65536;
  }
  if (phase_ != Phase::ready) phase_ = static_cast<Phase>(static_cast<int>(phase_) + 1);
}

void Program::cancel() {
  detail::recorder = nullptr;
  clear_recording();
  traced_.clear();
  phase_ = Phase::warm_up;
}

bool Program::valid() const {
  for (const Leaf& l : leaves_)
    if (l.tensor->storage != l.storage || l.tensor->requires_grad != l.requires_grad) return false;
  for (const Gradient& g : gradients_) {
    if (!g.read) continue;
    std::lock_guard<std::mutex> lock(g.box->mutex);
    if (memory_of(*g.box) != g.before.get()) return false;
  }
  return true;
}

Ref<Storage> Program::make_storage(int64_t bytes) {
  if (phase_ == Phase::warm_up && current_device() != kCpu) device_ = current_device();
  const bool foreign = current_device() != device_;
  const size_t index = next_buffer_++;
  detail::recorder = nullptr;  // what this function allocates is not part of the step
  Ref<Storage> s;
  // The step must ask for the same memory in the same order as when it was traced, and whatever shares its place must
  // be gone; otherwise this buffer gets memory of its own, which the program keeps.
  const int64_t offset = phase_ == Phase::record && !foreign ? plan_.take(index, bytes) : -1;
  if (offset >= 0) {
    arena_->add_ref();
    s = Storage::wrap(static_cast<char*>(arena_->data) + offset, bytes, drop_storage, arena_.get(), true, device_);
  } else {
    s = Storage::make(bytes);
    if (phase_ == Phase::trace) plan_.born(s->data, foreign ? 0 : bytes);
    if (phase_ == Phase::record) {
      held_.push_back(s);
      unplanned_bytes_ += bytes;
    }
  }
  s->recorded_index = static_cast<uint32_t>(index);
  s->recorded_by = token_;
  detail::recorder = this;
  return s;
}

void Program::released(const Storage& s) {
  if (s.recorded_by != token_ || s.recorded_index >= plan_.size()) return;
  if (phase_ == Phase::trace) plan_.died(s.recorded_index);
  if (phase_ == Phase::record) plan_.released(s.recorded_index);
}

void Program::hold(Storage& s) {
  if (phase_ != Phase::record || s.recorded_by == token_) return;
  for (const auto& h : held_)
    if (h.get() == &s) return;
  if (s.recorded_by == traced_token_ && s.recorded_by != 0) {
    // State that every run makes anew: a replay would go on from that of the recording for ever.
    bool gradient = false;
    for (const Gradient& g : gradients_) gradient = gradient || g.before.get() == &s;
    if (!gradient) {
      refuse(*this, str("a tensor of ", s.bytes, " bytes that the run before made is used again: every replay would ",
                        "see that one. Keep state in a tensor that the step changes in place (state.copy_(new))."));
    }
  }
  held_.push_back(Ref<Storage>(&s));
  versions_.emplace_back(held_.back(), s.version.load());
}

void Program::leaf(TensorImpl& t) {
  if (phase_ != Phase::record || t.storage->recorded_by == token_) return;
  for (const Leaf& l : leaves_)
    if (l.tensor.get() == &t) return;
  for (const Tensor& slot : slots_)
    if (slot.impl() == &t) return;
  leaves_.push_back({Ref<TensorImpl>(&t), t.storage, t.requires_grad});
}

void Program::gradient(AccumulateGrad& box, bool overwrites) {
  for (const Tensor& slot : slots_) {
    if (!slot.requires_grad() || autograd_meta(slot).box.get() != &box) continue;
    refuse(*this,
           "backward() into an argument of a captured step: its .grad would never be the caller's. Return "
           "autograd.grad(...) instead.");
  }
  if (phase_ != Phase::record) return;
  for (const Gradient& g : gradients_)
    if (g.box.get() == &box) return;
  std::lock_guard<std::mutex> lock(box.mutex);
  gradients_.push_back({Ref<AccumulateGrad>(&box), !overwrites,
                        box.grad.defined() && !overwrites ? box.grad.impl()->storage : Ref<Storage>(), Tensor()});
}

RandomState Program::next_random() {
  auto state = std::make_shared<PhiloxState>(fastnn::next_random());
  if (phase_ == Phase::record) randoms_.push_back(state);
  return state;
}

void Program::launched(const char* name, void (*run)(void*), void (*destroy)(void*), void* arguments, size_t bytes,
                       const ElementwiseOperands* operands) {
  if (phase_ != Phase::record) {
    destroy(arguments);
    if (phase_ == Phase::trace) {
      traced_.push_back(name);
      plan_.launched(operands);
    }
    return;
  }
  const bool host = std::strcmp(name, "host") == 0;
  calls_.push_back(
      {name, run, destroy, arguments, bytes, host ? kCpu : current_device(), device_ != kCpu && Checking::now()});
  const size_t now = launches_++;
  if (now < traced_.size() && std::strcmp(traced_[now], name) == 0 && plan_.launch()) return;
  refused_ = str("capture: the step did not do the same when it was run again (kernel ", now, " was ",
                 now < traced_.size() ? traced_[now] : "none", ", then ", name, "), so no replay could be right");
}

Program::Summary Program::summary() const {
  Summary s{};
  s.launches = static_cast<int64_t>(calls_.size());
  s.arena_bytes = plan_.bytes();
  s.unplanned_bytes = unplanned_bytes_;
  s.requested_bytes = plan_.requested();
  s.peak_bytes = plan_.peak();
  s.buffers = static_cast<int64_t>(plan_.size());
  s.in_place = plan_.in_place();
  s.random_draws = static_cast<int64_t>(randoms_.size());
  for (const Tensor& t : slots_) s.input_bytes += t.impl()->storage->bytes;
  for (const Output& o : outputs_) s.output_bytes += o.recorded.numel() * o.recorded.itemsize();
  for (const Call& c : calls_) ++s.by_kernel[c.name];
  for (const Segment& g : segments_) s.graphs += g.graph != nullptr;
  return s;
}

}  // namespace fastnn
