#pragma once
// Where the buffers of a captured step lie: from the order in which they come and go in one run, an offset for each in
// one arena, so that those that live at the same time lie apart. The output of an elementwise kernel takes the place of
// an operand that dies with it.

#include <cstdint>
#include <vector>

#include "core/recording.h"

namespace fastnn {

class Plan {
 public:
  // --- the traced run ---
  void clear();
  void born(const void* data, int64_t bytes);
  void died(size_t buffer);
  /// One launch; `operands` of an elementwise one.
  void launched(const ElementwiseOperands* operands);

  /// Gives every buffer its offset: the largest first, each at the lowest offset where nothing that lives at the same
  /// time lies.
  void lay_out();

  // --- the recorded run ---
  void begin_run();
  /// The offset of the next buffer, or -1 where the run has left the trace and it needs memory of its own.
  int64_t take(size_t buffer, int64_t bytes);
  void released(size_t buffer);
  /// False when an operand whose place was taken is still in use: its values are gone.
  bool launch();

  size_t size() const { return buffers_.size(); }
  int64_t bytes() const { return bytes_; }
  int64_t requested() const;
  /// The most that was alive at one time: no layout can be smaller, but for buffers that share a place.
  int64_t peak() const;
  int64_t in_place() const;

 private:
  struct Buffer {
    const void* data;
    int64_t bytes;
    int64_t born, died;  // in events; died is INT64_MAX for what outlives the run
    int64_t offset;
    size_t place;  // the buffer whose place this one shares: itself, or the first of a chain
    bool live;
  };
  struct Pair {
    size_t in, out;
    int64_t event;  // of the launch
  };
  std::vector<Buffer> buffers_;
  std::vector<Pair> pairs_;  // candidates of the trace, in order; after lay_out() those that share a place
  std::vector<int64_t> launch_events_;
  std::vector<size_t> launch_of_pair_;
  int64_t events_ = 0, bytes_ = 0;
  size_t launches_ = 0, next_pair_ = 0;
};

}  // namespace fastnn
