#include "cpu-primitives.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "cpu-kernels.h"
#include "cpu-threads.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/primitives.h"

namespace shim {

namespace {

// The numbers of an array that is not row-major, in order.
struct Strided {
  const char* from;
  size_t item;
  mx::Shape shape;
  mx::Strides strides;

  std::vector<char> numbers() const {
    size_t count = 1;
    for (int size : shape) count *= size;
    std::vector<char> all(count * item);
    char* to = all.data();
    if (count > 0) copy(0, from, to);
    return all;
  }

 private:
  void copy(size_t axis, const char* at, char*& to) const {
    if (axis == shape.size()) {
      std::memcpy(to, at, item);
      to += item;
      return;
    }
    size_t step = static_cast<size_t>(strides[axis]) * item;
    if (axis + 1 == shape.size() && step == item) {
      std::memcpy(to, at, shape[axis] * item);
      to += shape[axis] * item;
      return;
    }
    for (int i = 0; i < shape[axis]; i++) copy(axis + 1, at + i * step, to);
  }
};

// Calls work(first, count) for stretches of rows of n numbers, shared among the threads where there are many.
template <typename F>
void for_rows(int64_t rows, int64_t n, F work) {
  int64_t step = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, n));
  parallel_for((rows + step - 1) / step, [&](int64_t i) { work(i * step, std::min(step, rows - i * step)); });
}

}  // namespace

void CpuPrimitive::eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) {
  std::vector<void*> to;
  for (mx::array& out : outputs) {
    auto data = memory_(out.nbytes());
    // MLX's CPU allocator gives null when memory is out.
    if (out.nbytes() > 0 && data.buffer().ptr() == nullptr) throw std::runtime_error(std::string(name_) + ": out of memory");
    out.set_data(std::move(data));
    to.push_back(out.data<char>());
  }
  std::vector<const void*> from;
  std::vector<std::pair<size_t, Strided>> strided;
  for (const mx::array& in : inputs) {
    if (!in.flags().row_contiguous) {
      if (from.size() >= written_) throw std::runtime_error(std::string(name_) + ": what is written to is not row-major");
      strided.push_back({from.size(), {in.data<char>(), in.itemsize(), in.shape(), in.strides()}});
    }
    from.push_back(in.data<char>());
  }
  mx::cpu::get_command_encoder(stream()).dispatch(
      [run = std::move(run_), from = std::move(from), to = std::move(to), strided = std::move(strided)]() mutable {
        std::vector<std::vector<char>> copies;
        for (const auto& [index, array] : strided) from[index] = copies.emplace_back(array.numbers()).data();
        run(from, to);
      });
}

void CpuPrimitive::eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) {
  throw std::runtime_error(std::string(name_) + " is for the CPU only");
}

std::vector<mx::array> cpu_make_many(
    std::vector<mx::Shape> shapes, mx::Dtype dtype, const char* name, std::vector<mx::array> inputs, mx::Stream s, CpuRunMany run, size_t written,
    CpuMemory memory) {
  if (s.device != mx::Device::cpu) throw std::invalid_argument(std::string(name) + " is for the CPU only");
  std::vector<mx::Dtype> dtypes(shapes.size(), dtype);
  auto primitive = std::make_shared<CpuPrimitive>(s, name, std::move(run), written, std::move(memory));
  return mx::array::make_arrays(std::move(shapes), dtypes, std::move(primitive), inputs);
}

mx::array cpu_make(
    mx::Shape shape, mx::Dtype dtype, const char* name, std::vector<mx::array> inputs, mx::Stream s, CpuRun run, size_t written, CpuMemory memory) {
  auto run_one = [run = std::move(run)](const std::vector<const void*>& in, const std::vector<void*>& out) { run(in, out[0]); };
  return cpu_make_many({std::move(shape)}, dtype, name, std::move(inputs), s, std::move(run_one), written, std::move(memory))[0];
}

const mx::array& cpu_float32(const mx::array& x) {
  require(x.dtype() == mx::float32, "CPU primitives take float32");
  return x;
}

mx::array cpu_pack(const mx::array& weight, mx::Stream s) {
  require(weight.ndim() == 2 || weight.ndim() == 3, "pack: a matrix is needed, or one for each expert");
  bool half = weight.dtype() == mx::bfloat16;
  mx::array w = mx::contiguous(half ? weight : mx::astype(weight, mx::float32, s), false, s);
  int64_t n = w.shape(-2), k = w.shape(-1), each = (n + kPanel - 1) / kPanel, panels = w.ndim() == 3 ? w.shape(0) * each : each;
  mx::Shape shape{static_cast<int>(panels), static_cast<int>(k), kPanel};
  return cpu_make(shape, half ? mx::bfloat16 : mx::float32, "Pack", {w}, s, [=](const std::vector<const void*>& in, void* out) {
    auto copy = [&](auto* source, auto* target) {
      parallel_for(panels, [&](int64_t p) {
        int64_t columns = std::min<int64_t>(kPanel, n - p % each * kPanel);
        auto* from = source + (p / each * n + p % each * kPanel) * k;
        auto* to = target + p * k * kPanel;
        if (columns < kPanel) std::memset(to, 0, k * kPanel * sizeof(*to));
        for (int64_t i = 0; i < k; i++)
          for (int64_t c = 0; c < columns; c++) to[i * kPanel + c] = from[c * k + i];
      });
    };
    if (half)
      copy(static_cast<const uint16_t*>(in[0]), static_cast<uint16_t*>(out));
    else
      copy(floats(in[0]), static_cast<float*>(out));
  });
}

mx::array cpu_rows(const mx::array& packed, const mx::array& ids, mx::Stream s) {
  require(packed.ndim() == 3 && packed.shape(2) == kPanel, "rows: the weight is not packed");
  require(ids.ndim() == 1 && ids.dtype() == mx::int32, "rows: ids must be int32");
  int64_t count = ids.shape(0), k = packed.shape(1), limit = packed.shape(0) * int64_t{kPanel};
  bool half = packed.dtype() == mx::bfloat16;
  mx::Shape shape{static_cast<int>(count), static_cast<int>(k)};
  return cpu_make(shape, mx::float32, "Rows", {packed, ids}, s, [=](const std::vector<const void*>& in, void* out) {
    const auto* wanted = static_cast<const int32_t*>(in[1]);
    auto* to = static_cast<float*>(out);
    for (int64_t r = 0; r < count; r++, to += k) {
      int64_t id = std::clamp<int64_t>(wanted[r], 0, limit - 1);
      int64_t at = id / kPanel * k * kPanel + id % kPanel;
      for (int64_t i = 0; i < k; i++, at += kPanel) {
        if (half) {
          uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(in[0])[at]) << 16;
          std::memcpy(to + i, &bits, 4);
        } else {
          to[i] = floats(in[0])[at];
        }
      }
    }
  });
}

mx::array cpu_rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s) {
  require(x.ndim() >= 1, "rms_norm: no axis");
  int64_t n = x.shape(-1), rows = n > 0 ? x.size() / n : 0;
  require(!weight || (weight->ndim() == 1 && weight->shape(0) == n), "rms_norm: the weight has another length");
  std::vector<mx::array> inputs{cpu_float32(x)};
  if (weight) inputs.push_back(cpu_float32(*weight));
  return cpu_make(x.shape(), mx::float32, "RmsNorm", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    for_rows(rows, n, [&](int64_t first, int64_t count) {
      kernels().rms_norm(floats(in[0]) + first * n, in.size() > 1 ? floats(in[1]) : nullptr, eps, static_cast<float*>(out) + first * n, count, n);
    });
  });
}

mx::array cpu_layer_norm(
    const mx::array& x, const std::optional<mx::array>& weight, const std::optional<mx::array>& bias, float eps, mx::Stream s) {
  require(x.ndim() >= 1, "layer_norm: no axis");
  int64_t n = x.shape(-1), rows = n > 0 ? x.size() / n : 0;
  std::vector<mx::array> inputs{cpu_float32(x)};
  for (const auto* part : {&weight, &bias}) {
    if (!*part) continue;
    require((*part)->ndim() == 1 && (*part)->shape(0) == n, "layer_norm: weight or bias has another length");
    inputs.push_back(cpu_float32(**part));
  }
  bool weighted = weight.has_value();
  return cpu_make(x.shape(), mx::float32, "LayerNorm", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    const float* w = weighted ? floats(in[1]) : nullptr;
    const float* b = in.size() > (weighted ? 2 : 1) ? floats(in.back()) : nullptr;
    for_rows(rows, n, [&](int64_t first, int64_t count) {
      kernels().layer_norm(floats(in[0]) + first * n, w, b, eps, static_cast<float*>(out) + first * n, count, n);
    });
  });
}

namespace {

// A gated activation, in stretches shared among the threads.
mx::array gated(const mx::array& gate, const mx::array& up, const char* name, decltype(Kernels::swiglu) Kernels::* kernel, mx::Stream s) {
  require(gate.shape() == up.shape(), "a gated activation: shapes differ");
  int64_t n = gate.size();
  return cpu_make(gate.shape(), mx::float32, name, {cpu_float32(gate), cpu_float32(up)}, s, [=](const std::vector<const void*>& in, void* out) {
    constexpr int64_t item = 32768;
    parallel_for((n + item - 1) / item, [&](int64_t i) {
      int64_t from = i * item;
      (kernels().*kernel)(floats(in[0]) + from, floats(in[1]) + from, static_cast<float*>(out) + from, std::min(item, n - from));
    });
  });
}

}  // namespace

mx::array cpu_swiglu(const mx::array& gate, const mx::array& up, mx::Stream s) { return gated(gate, up, "Swiglu", &Kernels::swiglu, s); }

mx::array cpu_geglu(const mx::array& gate, const mx::array& up, mx::Stream s) { return gated(gate, up, "Geglu", &Kernels::geglu, s); }

mx::array cpu_clipped_swiglu(const mx::array& gate, const mx::array& up, mx::Stream s) {
  return gated(gate, up, "ClippedSwiglu", &Kernels::clipped_swiglu, s);
}

mx::array cpu_rope_table(const mx::array& positions, const mx::array& freqs, float scale, mx::Stream s) {
  require(positions.ndim() == 1 && positions.dtype() == mx::int32 && freqs.ndim() == 1, "rope_table: positions [T], freqs [half]");
  int64_t count = positions.shape(0), half = freqs.shape(0);
  mx::Shape shape{static_cast<int>(count), 2, static_cast<int>(half)};
  std::vector<mx::array> inputs{positions, cpu_float32(freqs)};
  return cpu_make(shape, mx::float32, "RopeTable", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    const auto* at = static_cast<const int32_t*>(in[0]);
    auto* to = static_cast<float*>(out);
    for (int64_t t = 0; t < count; t++, to += 2 * half) {
      // Angles in float32, as MLX has them.
      float position = static_cast<float>(at[t]) * scale;
      for (int64_t i = 0; i < half; i++) {
        float angle = position * floats(in[1])[i];
        to[i] = std::cos(angle);
        to[half + i] = std::sin(angle);
      }
    }
  });
}

namespace {

// Known by the address of its name.
class Rope : public CpuPrimitive {
 public:
  static constexpr char kName[] = "Rope";
  Rope(mx::Stream s, CpuRunMany run, bool pairs) : CpuPrimitive(s, kName, std::move(run), kNoneWritten, mx::allocator::malloc), pairs(pairs) {}
  const bool pairs;
};

}  // namespace

mx::array cpu_rope(const mx::array& x, const mx::array& table, bool pairs, mx::Stream s) {
  require(x.ndim() == 3 && table.ndim() == 3 && table.shape(0) == x.shape(0), "rope: x [T, H, D], table [T, 2, half]");
  require(s.device == mx::Device::cpu, "Rope is for the CPU only");
  int64_t tokens = x.shape(0), heads = x.shape(1), dim = x.shape(2), half = table.shape(2);
  require(2 * half <= dim, "rope: more rotated than there is");
  auto run = [=](const std::vector<const void*>& in, const std::vector<void*>& out) {
    int64_t width = heads * dim;
    for_rows(tokens, width, [&](int64_t first, int64_t count) {
      const float* angles = floats(in[1]) + first * 2 * half;
      kernels().rope(floats(in[0]) + first * width, angles, static_cast<float*>(out[0]) + first * width, count, heads, dim, half, pairs);
    });
  };
  std::vector<mx::array> inputs{cpu_float32(x), cpu_float32(table)};
  return mx::array(x.shape(), mx::float32, std::make_shared<Rope>(s, std::move(run), pairs), std::move(inputs));
}

std::optional<Rotation> rotation_of(const mx::array& x) {
  if (!x.has_primitive() || x.primitive().name() != Rope::kName) return std::nullopt;
  return Rotation{x.inputs()[0], x.inputs()[1], static_cast<const Rope&>(x.primitive()).pairs};
}

mx::array cpu_argmax(const mx::array& x, mx::Stream s) {
  require(x.ndim() == 2 && x.shape(1) > 0, "argmax: rows are needed");
  int64_t rows = x.shape(0), n = x.shape(1);
  return cpu_make({static_cast<int>(rows)}, mx::uint32, "Argmax", {cpu_float32(x)}, s, [=](const std::vector<const void*>& in, void* out) {
    for (int64_t r = 0; r < rows; r++) static_cast<uint32_t*>(out)[r] = static_cast<uint32_t>(kernels().argmax(floats(in[0]) + r * n, n));
  });
}

}  // namespace shim
