// Cache rows that come, grow and move: what the pool of the caches does between steps.
#include <algorithm>
#include <cstring>
#include <memory>

#include "cpu-primitives.h"
#include "cpu-threads.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/primitives.h"
#include "place-memory.h"

namespace shim {

namespace {

// For so many rows, with room for more where the system has that much to address.
mx::allocator::Data memory_for(size_t bytes, int rows, int room) {
  try {
    return row_places().take(bytes, bytes / rows * std::max(rows, room));
  } catch (const std::exception&) {
    return row_places().take(bytes, bytes);
  }
}

class MoreRows : public mx::Primitive {
 public:
  MoreRows(mx::Stream s, int room) : Primitive(s), room_(room) {}

  // As in updates.cpp, the buffer is moved out of the input: work in flight keeps its address.
  void eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    const mx::array& in = inputs[0];
    mx::array& out = outputs[0];
    bool owner = in.offset() == 0 && in.data_size() == in.size() && in.data_shared_ptr()->buffer().ptr() != nullptr;
    if (!owner) throw std::runtime_error("MoreRows: the array does not own its buffer");
    auto old = std::make_shared<mx::allocator::Data>(std::move(*in.data_shared_ptr()));
    if (row_places().extend(old->buffer(), out.nbytes())) {
      out.set_data(std::move(*old));
      return;
    }
    out.set_data(memory_for(out.nbytes(), out.shape(0), room_));
    mx::cpu::get_command_encoder(stream()).dispatch([old, to = out.data<char>(), n = in.nbytes()] {
      std::memcpy(to, old->buffer().raw_ptr(), n);
    });
  }
  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override {
    throw std::runtime_error("MoreRows is for the CPU only");
  }
  const char* name() const override { return "MoreRows"; }

 private:
  int room_;
};

}  // namespace

mx::array cpu_empty_rows(const mx::Shape& shape, int room, mx::Stream s) {
  require(!shape.empty() && shape[0] > 0, "rows: at least one");
  auto memory = [=](size_t bytes) { return memory_for(bytes, shape[0], room); };
  return cpu_make(shape, mx::float32, "EmptyRows", {}, s, [](const std::vector<const void*>&, void*) {}, kNoneWritten, memory);
}

mx::array cpu_more_rows(const mx::array& a, int rows, int room, mx::Stream s) {
  require(a.ndim() > 0 && a.dtype() == mx::float32 && rows >= a.shape(0) && s.device == mx::Device::cpu, "rows: they can only become more");
  mx::Shape shape = a.shape();
  shape[0] = rows;
  return mx::array(shape, a.dtype(), std::make_shared<MoreRows>(s, room), {a});
}

mx::array cpu_copy_row(
    const std::vector<mx::array>& from, const std::vector<mx::array>& to, int from_row, int to_row, const std::vector<int>& slots, mx::Stream s) {
  size_t n = from.size();
  require(n > 0 && to.size() == n && slots.size() == n, "rows: as many to copy as to write to");
  // Runs of numbers that lie side by side: how many there are in a row, how long they are, and their distances.
  struct Part {
    int64_t runs, length, from_stride, to_stride;
  };
  std::vector<Part> parts;
  for (size_t i = 0; i < n; i++) {
    const mx::array &a = from[i], &b = to[i];
    require(a.dtype() == mx::float32 && b.dtype() == mx::float32 && a.ndim() > 0 && b.ndim() == a.ndim(), "rows: of another kind");
    require(from_row >= 0 && from_row < a.shape(0) && to_row >= 0 && to_row < b.shape(0), "rows: there is no such row");
    int64_t a_size = static_cast<int64_t>(a.size()) / a.shape(0), b_size = static_cast<int64_t>(b.size()) / b.shape(0);
    if (slots[i] < 0) {
      require(a_size == b_size, "rows: states of other sizes");
      parts.push_back({1, a_size, a_size, b_size});
      continue;
    }
    require(a.ndim() == 4 && a.shape(1) == b.shape(1) && a.shape(3) == b.shape(3), "rows: caches [R, H, slots, D]");
    require(slots[i] <= a.shape(2) && slots[i] <= b.shape(2), "rows: too short");
    int64_t dim = a.shape(3);
    parts.push_back({a.shape(1), slots[i] * dim, a.shape(2) * dim, b.shape(2) * dim});
  }
  std::vector<mx::array> inputs = from;
  inputs.insert(inputs.end(), to.begin(), to.end());
  return cpu_make({1}, mx::float32, "CopyRow", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    *static_cast<float*>(out) = 0;
    parallel_for(static_cast<int64_t>(n), [&](int64_t i) {
      const Part& p = parts[i];
      const auto* source = static_cast<const float*>(in[i]) + from_row * p.runs * p.from_stride;
      auto* target = static_cast<float*>(const_cast<void*>(in[n + i])) + to_row * p.runs * p.to_stride;
      for (int64_t r = 0; r < p.runs; r++) std::memcpy(target + r * p.to_stride, source + r * p.from_stride, p.length * sizeof(float));
    });
  }, 0);
}

}  // namespace shim
