#include "runtime/plan.h"

#include <algorithm>
#include <numeric>

#include "core/dims.h"

namespace fastnn {
namespace {

constexpr int64_t kAlign = 64;

int64_t rounded(int64_t bytes) { return bytes <= kAlign ? kAlign : (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

void Plan::clear() {
  buffers_.clear();
  pairs_.clear();
  launch_events_.clear();
  launch_of_pair_.clear();
  events_ = bytes_ = 0;
}

void Plan::born(const void* data, int64_t bytes) {
  buffers_.push_back({data, bytes, events_++, INT64_MAX, 0, buffers_.size(), true});
}

void Plan::died(size_t buffer) {
  buffers_[buffer].died = events_++;
  buffers_[buffer].live = false;
}

void Plan::launched(const ElementwiseOperands* operands) {
  const int64_t now = events_++, previous = launch_events_.empty() ? -1 : launch_events_.back();
  launch_events_.push_back(now);
  if (!operands || !operands->in_step[0]) return;
  const auto find = [&](const void* data) {
    size_t i = buffers_.size();
    while (i-- > 0)
      if (buffers_[i].live && buffers_[i].data == data) return i;
    return buffers_.size();
  };
  const size_t out = find(operands->data[0]);
  if (out == buffers_.size() || buffers_[out].born < previous || buffers_[out].bytes == 0) return;
  for (int k = 1; k < operands->count; ++k) {
    if (!operands->in_step[k] || !operands->data[k]) continue;
    const size_t in = find(operands->data[k]);
    if (in == buffers_.size() || in == out || buffers_[in].bytes != buffers_[out].bytes) continue;
    // Another operand may look into the same memory in another order (x * x[0]).
    bool alone = true;
    for (int m = 1; m < operands->count; ++m) {
      const auto* at = static_cast<const char*>(operands->data[m]);
      const auto* begin = static_cast<const char*>(buffers_[in].data);
      alone = alone && (at < begin || at >= begin + buffers_[in].bytes || (at == begin && operands->in_step[m]));
    }
    if (alone) {
      pairs_.push_back({in, out, now});
      launch_of_pair_.push_back(launch_events_.size() - 1);
    }
  }
}

void Plan::lay_out() {
  // Which outputs take a place: their operand is gone before the next launch, and nobody else has taken it.
  std::vector<Pair> kept;
  std::vector<size_t> kept_launch;
  std::vector<char> taken(buffers_.size(), 0), placed_out(buffers_.size(), 0);
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const Pair& p = pairs_[i];
    const size_t launch = launch_of_pair_[i];
    const int64_t next = launch + 1 < launch_events_.size() ? launch_events_[launch + 1] : events_;
    if (taken[p.in] || placed_out[p.out] || buffers_[p.in].died > next) continue;
    taken[p.in] = placed_out[p.out] = 1;
    buffers_[p.out].place = buffers_[p.in].place;
    kept.push_back(p);
    kept_launch.push_back(launch);
  }
  pairs_.swap(kept);
  launch_of_pair_.swap(kept_launch);
  std::vector<int64_t> last(buffers_.size());  // until when a place is in use
  for (const Buffer& b : buffers_) last[b.place] = std::max(last[b.place], b.died);

  std::vector<size_t> order(buffers_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  order.erase(std::remove_if(order.begin(), order.end(), [&](size_t i) { return buffers_[i].place != i; }),
              order.end());
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers_[a].bytes > buffers_[b].bytes; });
  std::vector<size_t> placed;  // by offset
  bytes_ = 0;
  for (const size_t i : order) {
    Buffer& b = buffers_[i];
    const int64_t size = rounded(b.bytes);
    int64_t at = 0;
    for (const size_t j : placed) {
      const Buffer& o = buffers_[j];
      if (last[j] < b.born || o.born > last[i]) continue;
      if (o.offset - at >= size) break;
      at = std::max(at, o.offset + rounded(o.bytes));
    }
    b.offset = at;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                   [&](size_t a, size_t c) { return buffers_[a].offset < buffers_[c].offset; }),
                  i);
    bytes_ = std::max(bytes_, checked_add(at, size));
  }
  for (Buffer& b : buffers_) b.offset = buffers_[b.place].offset;
}

void Plan::begin_run() {
  for (Buffer& b : buffers_) b.live = false;
  launches_ = next_pair_ = 0;
}

int64_t Plan::take(size_t buffer, int64_t bytes) {
  if (buffer >= buffers_.size() || buffers_[buffer].bytes != bytes) return -1;
  Buffer& b = buffers_[buffer];
  for (size_t j = 0; j < buffer; ++j) {
    const Buffer& o = buffers_[j];
    if (o.live && o.place != b.place && o.offset < b.offset + rounded(bytes) && b.offset < o.offset + rounded(o.bytes))
      return -1;
  }
  b.live = true;
  return b.offset;
}

void Plan::released(size_t buffer) {
  if (buffer < buffers_.size()) buffers_[buffer].live = false;
}

bool Plan::launch() {
  const size_t now = launches_++;
  // Operands of the launches before this one whose place was taken must be gone by now.
  while (next_pair_ < pairs_.size() && launch_of_pair_[next_pair_] < now) {
    const Pair& p = pairs_[next_pair_++];
    if (buffers_[p.in].live) return false;
  }
  return true;
}

int64_t Plan::requested() const {
  int64_t sum = 0;
  for (const Buffer& b : buffers_) sum += b.bytes;
  return sum;
}

int64_t Plan::peak() const {
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (const Buffer& b : buffers_) {
    changes.emplace_back(b.born, rounded(b.bytes));
    if (b.died != INT64_MAX) changes.emplace_back(b.died, -rounded(b.bytes));
  }
  std::sort(changes.begin(), changes.end());
  int64_t now = 0, most = 0;
  for (const auto& c : changes) most = std::max(most, now += c.second);
  return most;
}

int64_t Plan::in_place() const { return static_cast<int64_t>(pairs_.size()); }

}  // namespace fastnn
