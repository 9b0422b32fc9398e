#pragma once
// A captured step: the list of its launches, run again on the same memory. The step is run three times as it is: once
// to bring optimiser state and the like into being, once to trace how long each piece of memory lives, once to record
// its launches while all memory comes from one arena laid out by those lifetimes. From then on only the list runs.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "autograd/node.h"
#include "core/recording.h"
#include "core/tensor.h"
#include "runtime/plan.h"

namespace fastnn {

/// Says "file:line" of the user's code for errors; set by the Python module.
extern std::string (*capture_location)();

class Program : public Recorder, public RefCounted<Program> {
 public:
  enum class Phase { warm_up, trace, record, ready };
  using Copy = void (*)(const Tensor& to, const Tensor& from);

  /// `examples`: arguments of the step; its slots, from which the step reads its arguments in every run, lie like them.
  /// `copy` copies between tensors of one shape and dtype.
  Program(const std::vector<Tensor>& examples, Copy copy);
  ~Program() override;
  static void destroy(Program* p) { delete p; }

  Phase phase() const { return phase_; }
  const std::vector<Tensor>& slots() const { return slots_; }
  /// Once nobody else holds the slots: gives back the memory of those that replays do not need.
  void drop_slots();
  /// Whether `x` can go into the i-th slot: shape, dtype, order in memory, gradient wanted.
  bool fits(size_t i, const Tensor& x) const;
  /// Copies `inputs` into the slots; they must fit.
  void load(const std::vector<Tensor>& inputs);
  /// Around a run of the step as it is. `outputs`: what it returned; they must not be given away (clone them).
  void begin();
  void end(const std::vector<Tensor>& outputs);
  /// After a run that failed: the program starts over.
  void cancel();
  /// False when a leaf's memory was replaced (p.data = ...) or its gradient is another than the step added to.
  bool valid() const;
  /// All launches with `inputs` (which must fit), and copies of the outputs. Large inputs that the step only reads are
  /// read where they are, the others copied. Takes no memory from the allocator while at most one
  /// earlier result of each kind is still in use.
  std::vector<Tensor> replay(const std::vector<Tensor>& inputs);
  /// Whether a replay is long enough to let other Python threads run meanwhile.
  bool is_long() const { return long_; }

  struct Summary {
    int64_t launches, arena_bytes, unplanned_bytes, requested_bytes, peak_bytes, buffers, in_place, random_draws;
    int64_t input_bytes, output_bytes, graphs;
    std::map<std::string, int64_t> by_kernel;
  };
  Summary summary() const;

  // --- Recorder ---
  Ref<Storage> make_storage(int64_t bytes) override;
  void released(const Storage& s) override;
  void hold(Storage& s) override;
  void leaf(TensorImpl& t) override;
  void gradient(AccumulateGrad& box, bool overwrites) override;
  RandomState next_random() override;
  void launched(const char* name, void (*run)(void*), void (*destroy)(void*), void* arguments, size_t bytes,
                const ElementwiseOperands* operands) override;
  void refused(const char* message) override { refused_ = message; }

 private:
  struct Call {
    const char* name;
    void (*run)(void*);
    void (*destroy)(void*);
    void* arguments;
    size_t bytes;
    DeviceIndex device;  // that was current
    bool check;          // of values on a device, which waits for them: only where errors are asked for at once
  };
  /// A run of calls on the device as one graph, or one call of the CPU's.
  struct Segment {
    void* graph;
    size_t call;
  };
  /// Where recorded arguments hold the address of an input: replays put the caller's there.
  struct Uses {
    bool in_place = false;
    std::vector<void*> at;
  };
  struct Leaf {
    Ref<TensorImpl> tensor;
    Ref<Storage> storage;
    bool requires_grad;
  };
  /// The gradient of a leaf: as it must be before a replay (unless the step replaces it anyway), and as it is after.
  struct Gradient {
    Ref<AccumulateGrad> box;
    bool read;
    Ref<Storage> before;
    Tensor after;
  };
  /// An output in the arena, and the memory of the copies given away last: taken again once nobody holds it.
  struct Output {
    Tensor recorded;
    Ref<Storage> given[2];
  };
  Tensor copy_of(Output& output);
  Uses uses_of(const Tensor& slot) const;
  /// Whether replays write to memory of `s`.
  bool writes(const Storage& s) const;
  void clear_recording();
  void run_calls();
  void make_segments();

  Phase phase_ = Phase::warm_up;
  Copy copy_;
  bool long_ = false;
  std::vector<Tensor> slots_;
  std::vector<Uses> uses_;         // of each slot
  std::vector<Ref<Storage>> own_;  // copies of large inputs that replays write to
  std::vector<Output> outputs_;
  Plan plan_;
  std::vector<Call> calls_;
  DeviceIndex device_ = kCpu;  // of the arena: a CUDA device once the step made memory there
  std::vector<Segment> segments_;
  bool graphs_ = true;               // false where the step cannot be made into graphs
  std::vector<const char*> traced_;  // names of the traced launches: the recorded ones must be the same
  size_t launches_ = 0, next_buffer_ = 0;
  std::vector<Ref<Storage>> held_;
  std::vector<std::pair<Ref<Storage>, uint32_t>> versions_;  // of held memory, as it was when the step first used it
  std::vector<std::shared_ptr<PhiloxState>> randoms_;
  std::vector<Leaf> leaves_;
  std::vector<Gradient> gradients_;
  Ref<Storage> arena_;
  int64_t unplanned_bytes_ = 0;
  uint32_t token_ = 0, traced_token_ = 0;
  std::string refused_;
  std::mutex mutex_;
};

}  // namespace fastnn
