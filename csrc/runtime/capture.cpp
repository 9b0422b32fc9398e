#include "runtime/capture.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

namespace fastnn {

namespace detail {
thread_local Recorder* recorder = nullptr;
}

void refuse_in_capture(const char* what) {
  if (capturing())
    throw CaptureError(str(what,
                           " inside a captured step: every replay would see the value of the recording. Return the "
                           "tensor from the step, or pass the value as an argument."));
}

namespace {

constexpr int64_t kAlign = 64;
std::atomic<uint32_t> next_token{1};

int64_t rounded(int64_t bytes) { return bytes <= kAlign ? kAlign : (bytes + kAlign - 1) / kAlign * kAlign; }

void drop_storage(void* owner) { static_cast<Storage*>(owner)->drop_ref(); }

}  // namespace

Program::Program(std::vector<Tensor> slots) : slots_(std::move(slots)) {}

Program::~Program() { clear_recording(); }

void Program::clear_recording() {
  for (const Call& c : calls_) c.destroy(c.arguments);
  calls_.clear();
  held_.clear();
  versions_.clear();
  randoms_.clear();
  leaves_.clear();
  outputs_.clear();
}

void Program::load(const std::vector<Tensor>& inputs) {
  if (inputs.size() != slots_.size())
    throw ValueError(str("capture: expected ", slots_.size(), " tensors, got ", inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor &from = inputs[i], &to = slots_[i];
    if (from.shape() != to.shape() || from.dtype() != to.dtype())
      throw ValueError(str("capture: input ", i, " was recorded as ", to.dtype(), " ", to.shape(), ", got ",
                           from.dtype(), " ", from.shape()));
    if (from.impl()->storage == to.impl()->storage && from.impl()->offset == to.impl()->offset) continue;
    if (!from.is_contiguous()) throw ValueError(str("capture: input ", i, " must be row-major"));
    std::memcpy(to.raw(), from.raw(), static_cast<size_t>(from.numel() * from.itemsize()));
  }
}

void Program::begin() {
  if (capturing()) throw CaptureError("capture: a step cannot be captured inside another");
  next_buffer_ = 0;
  events_ = 0;
  token_ = next_token.fetch_add(1);
  if (phase_ == Phase::trace) buffers_.clear();
  if (phase_ == Phase::record) {
    plan();
    for (Buffer& b : buffers_) b.live = false;
    unplanned_bytes_ = 0;
  }
  detail::recorder = this;
}

void Program::end(const std::vector<Tensor>& outputs) {
  detail::recorder = nullptr;
  if (phase_ == Phase::record) {
    for (const Tensor& t : outputs) outputs_.push_back(t.detach());
    // What the step changed in place, every replay changes: graphs made outside must notice.
    const auto unchanged = [](const auto& v) { return v.first->version.load() == v.second; };
    versions_.erase(std::remove_if(versions_.begin(), versions_.end(), unchanged), versions_.end());
  }
  if (phase_ != Phase::ready) phase_ = static_cast<Phase>(static_cast<int>(phase_) + 1);
}

void Program::cancel() {
  detail::recorder = nullptr;
  clear_recording();
  phase_ = Phase::warm_up;
}

bool Program::valid() const {
  for (const auto& [leaf, storage] : leaves_)
    if (leaf->storage != storage) return false;
  return true;
}

std::vector<Tensor> Program::replay(const std::vector<Tensor>& inputs) {
  std::lock_guard<std::mutex> one_at_a_time(mutex_);
  if (phase_ != Phase::ready) throw RuntimeError("capture: nothing is recorded yet");
  load(inputs);
  for (const auto& r : randoms_) *r = fastnn::next_random();
  for (const auto& v : versions_) v.first->version.fetch_add(1, std::memory_order_relaxed);
  for (const Call& c : calls_) c.run(c.arguments);
  std::vector<Tensor> out;
  out.reserve(outputs_.size());
  for (const Tensor& t : outputs_) {
    Tensor copy = empty(t.shape(), t.dtype());
    std::memcpy(copy.raw(), t.raw(), static_cast<size_t>(t.numel() * t.itemsize()));
    out.push_back(std::move(copy));
  }
  return out;
}

// Greedy by size: the largest buffers first, each at the lowest offset where nothing that lives at the same time lies.
void Program::plan() {
  std::vector<size_t> order(buffers_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers_[a].bytes > buffers_[b].bytes; });
  std::vector<size_t> placed;  // by offset
  arena_bytes_ = 0;
  for (const size_t i : order) {
    Buffer& b = buffers_[i];
    const int64_t size = rounded(b.bytes);
    int64_t at = 0;
    for (const size_t j : placed) {
      const Buffer& o = buffers_[j];
      if (o.died < b.born || o.born > b.died) continue;
      if (o.offset - at >= size) break;
      at = std::max(at, o.offset + rounded(o.bytes));
    }
    b.offset = at;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                   [&](size_t a, size_t c) { return buffers_[a].offset < buffers_[c].offset; }),
                  i);
    arena_bytes_ = std::max(arena_bytes_, checked_add(at, size));
  }
  arena_ = Storage::make(arena_bytes_);
}

Ref<Storage> Program::make_storage(int64_t bytes) {
  const size_t index = next_buffer_++;
  detail::recorder = nullptr;  // what this function allocates is not part of the step
  Ref<Storage> s;
  if (phase_ == Phase::record) {
    // The step must ask for the same memory in the same order as when it was traced, and whatever shares its place must
    // be gone; otherwise this buffer gets memory of its own, which the program keeps.
    bool fits = index < buffers_.size() && buffers_[index].bytes == bytes;
    if (fits) {
      const Buffer& b = buffers_[index];
      for (size_t j = 0; j < index && fits; ++j) {
        const Buffer& o = buffers_[j];
        fits = !o.live || o.offset >= b.offset + rounded(bytes) || b.offset >= o.offset + rounded(o.bytes);
      }
    }
    if (fits) {
      buffers_[index].live = true;
      arena_->add_ref();
      s = Storage::wrap(static_cast<char*>(arena_->data) + buffers_[index].offset, bytes, drop_storage, arena_.get(),
                        true);
      s->recorded_index = static_cast<uint32_t>(index);
    } else {
      s = Storage::make(bytes);
      held_.push_back(s);
      unplanned_bytes_ += bytes;
      s->recorded_index = UINT32_MAX;
    }
  } else {
    s = Storage::make(bytes);
    if (phase_ == Phase::trace) buffers_.push_back({bytes, events_++, INT64_MAX, 0, false});
    s->recorded_index = static_cast<uint32_t>(index);
  }
  s->recorded_by = token_;
  detail::recorder = this;
  return s;
}

void Program::released(const Storage& s) {
  if (s.recorded_by != token_ || s.recorded_index >= buffers_.size()) return;
  if (phase_ == Phase::trace) buffers_[s.recorded_index].died = events_++;
  if (phase_ == Phase::record) buffers_[s.recorded_index].live = false;
}

void Program::hold(Storage& s) {
  if (phase_ != Phase::record || s.recorded_by == token_) return;
  for (const auto& h : held_)
    if (h.get() == &s) return;
  held_.push_back(Ref<Storage>(&s));
  versions_.emplace_back(held_.back(), s.version.load());
}

void Program::leaf(TensorImpl& t) {
  if (phase_ != Phase::record) return;
  for (const auto& l : leaves_)
    if (l.first.get() == &t) return;
  leaves_.emplace_back(Ref<TensorImpl>(&t), t.storage);
}

RandomState Program::next_random() {
  auto state = std::make_shared<PhiloxState>(fastnn::next_random());
  if (phase_ == Phase::record) randoms_.push_back(state);
  return state;
}

void Program::launched(const char* name, void (*run)(void*), void (*destroy)(void*), void* arguments) {
  if (phase_ == Phase::record)
    calls_.push_back({name, run, destroy, arguments});
  else
    destroy(arguments);
}

Program::Summary Program::summary() const {
  Summary s{};
  s.launches = static_cast<int64_t>(calls_.size());
  s.arena_bytes = arena_bytes_;
  s.unplanned_bytes = unplanned_bytes_;
  s.buffers = static_cast<int64_t>(buffers_.size());
  s.random_draws = static_cast<int64_t>(randoms_.size());
  for (const Buffer& b : buffers_) s.requested_bytes += b.bytes;
  for (const Call& c : calls_) ++s.by_kernel[c.name];
  return s;
}

}  // namespace fastnn
