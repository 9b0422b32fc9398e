#pragma once
// A captured step: the list of its launches, run again on the same memory. The step is run three times as it is: once
// to bring optimiser state and the like into being, once to trace how long each piece of memory lives, once to record
// its launches while all memory comes from one arena laid out by those lifetimes. From then on only the list runs.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/recording.h"
#include "core/tensor.h"

namespace fastnn {

class Program : public Recorder, public RefCounted<Program> {
 public:
  enum class Phase { warm_up, trace, record, ready };

  /// `slots`: the tensors that the step reads its arguments from, in every run.
  explicit Program(std::vector<Tensor> slots);
  ~Program() override;
  static void destroy(Program* p) { delete p; }

  Phase phase() const { return phase_; }
  const std::vector<Tensor>& slots() const { return slots_; }
  /// Copies `inputs` into the slots (same shapes and dtypes, else ValueError).
  void load(const std::vector<Tensor>& inputs);
  /// Around a run of the step as it is. `outputs`: what it returned, row-major; they must not be given away (clone
  /// them).
  void begin();
  void end(const std::vector<Tensor>& outputs);
  /// After a run that failed: the program starts over.
  void cancel();
  /// False when a leaf's memory was replaced (p.data = ...): the recorded addresses are no longer the model's.
  bool valid() const;
  /// load(inputs), all launches, and copies of the outputs.
  std::vector<Tensor> replay(const std::vector<Tensor>& inputs);

  struct Summary {
    int64_t launches, arena_bytes, unplanned_bytes, requested_bytes, buffers, random_draws;
    std::map<std::string, int64_t> by_kernel;
  };
  Summary summary() const;

  // --- Recorder ---
  Ref<Storage> make_storage(int64_t bytes) override;
  void released(const Storage& s) override;
  void hold(Storage& s) override;
  void leaf(TensorImpl& t) override;
  RandomState next_random() override;
  void launched(const char* name, void (*run)(void*), void (*destroy)(void*), void* arguments) override;

 private:
  struct Call {
    const char* name;
    void (*run)(void*);
    void (*destroy)(void*);
    void* arguments;
  };
  struct Buffer {
    int64_t bytes;
    int64_t born, died;  // in events of the traced run; died is INT64_MAX for what outlives it
    int64_t offset;
    bool live;  // while recording
  };
  void plan();
  void clear_recording();

  Phase phase_ = Phase::warm_up;
  std::vector<Tensor> slots_, outputs_;
  std::vector<Buffer> buffers_;
  std::vector<Call> calls_;
  std::vector<Ref<Storage>> held_;
  std::vector<std::pair<Ref<Storage>, uint32_t>> versions_;  // of held memory, as it was when the step first used it
  std::vector<std::shared_ptr<PhiloxState>> randoms_;
  std::vector<std::pair<Ref<TensorImpl>, Ref<Storage>>> leaves_;
  Ref<Storage> arena_;
  int64_t arena_bytes_ = 0, unplanned_bytes_ = 0, events_ = 0;
  size_t next_buffer_ = 0;
  uint32_t token_ = 0;
  std::mutex mutex_;
};

}  // namespace fastnn
