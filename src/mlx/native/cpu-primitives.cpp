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

// One output computed by a function of the inputs' and output's addresses, which runs on the stream's thread.
class CpuPrimitive : public mx::Primitive {
 public:
  CpuPrimitive(mx::Stream s, const char* name, CpuRun run, CpuMemory memory)
      : Primitive(s), name_(name), run_(std::move(run)), memory_(std::move(memory)) {}

  void eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    mx::array& out = outputs[0];
    auto data = memory_(out.nbytes());
    // MLX's CPU allocator gives null when memory is out.
    if (out.nbytes() > 0 && data.buffer().ptr() == nullptr) throw std::runtime_error(std::string(name_) + ": out of memory");
    out.set_data(std::move(data));
    std::vector<const void*> addresses;
    addresses.reserve(inputs.size());
    for (const mx::array& in : inputs) {
      if (!in.flags().row_contiguous) throw std::runtime_error(std::string(name_) + ": an input is not row-major");
      addresses.push_back(in.data<char>());
    }
    mx::cpu::get_command_encoder(stream()).dispatch(
        [run = std::move(run_), addresses = std::move(addresses), to = static_cast<void*>(out.data<char>())] { run(addresses, to); });
  }
  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override {
    throw std::runtime_error(std::string(name_) + " is for the CPU only");
  }
  const char* name() const override { return name_; }

 private:
  const char* name_;
  CpuRun run_;
  CpuMemory memory_;
};

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

const float* floats(const void* p) { return static_cast<const float*>(p); }

}  // namespace

int64_t panels_per_item(int64_t panels, int64_t rows, int64_t k) {
  int64_t least = std::max<int64_t>(1, 300000 / std::max<int64_t>(1, rows * k * kPanel));
  int64_t even = std::max<int64_t>(1, panels / (2 * compute_threads()));
  return std::max(least, even);
}

mx::array cpu_make(mx::Shape shape, mx::Dtype dtype, const char* name, std::vector<mx::array> inputs, mx::Stream s, CpuRun run, CpuMemory memory) {
  if (s.device != mx::Device::cpu) throw std::invalid_argument(std::string(name) + " is for the CPU only");
  return mx::array(std::move(shape), dtype, std::make_shared<CpuPrimitive>(s, name, std::move(run), std::move(memory)), std::move(inputs));
}

mx::array cpu_plain(const mx::array& x, mx::Stream s) {
  require(x.dtype() == mx::float32, "CPU primitives take float32");
  return mx::contiguous(x, false, s);
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

mx::array cpu_linear(const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, int n, mx::Stream s) {
  require(packed.ndim() == 3 && packed.shape(2) == kPanel, "linear: the weight is not packed");
  int64_t k = packed.shape(1), panels = packed.shape(0);
  require(x.ndim() >= 1 && x.shape(-1) == k && (n + kPanel - 1) / kPanel == panels, "linear: shapes differ");
  require(!bias || (bias->ndim() == 1 && bias->shape(0) == n), "linear: the bias has another length");
  auto kind = packed.dtype() == mx::bfloat16 ? WeightKind::bf16 : WeightKind::f32;
  std::vector<mx::array> inputs{cpu_plain(x, s), packed};
  if (bias) inputs.push_back(cpu_plain(*bias, s));
  mx::Shape shape = x.shape();
  shape.back() = n;
  int64_t rows = k > 0 ? x.size() / k : 0;
  return cpu_make(shape, mx::float32, "Linear", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    const float* b = in.size() > 2 ? floats(in[2]) : nullptr;
    int64_t step = panels_per_item(panels, rows, k);
    parallel_for((panels + step - 1) / step, [&](int64_t i) {
      kernels().linear(floats(in[0]), rows, k, in[1], kind, b, static_cast<float*>(out), n, i * step, std::min(panels, (i + 1) * step));
    });
  });
}

mx::array cpu_rows(const mx::array& packed, const mx::array& ids, mx::Stream s) {
  require(packed.ndim() == 3 && packed.shape(2) == kPanel, "rows: the weight is not packed");
  require(ids.ndim() == 1 && ids.dtype() == mx::int32, "rows: ids must be int32");
  int64_t count = ids.shape(0), k = packed.shape(1), limit = packed.shape(0) * int64_t{kPanel};
  bool half = packed.dtype() == mx::bfloat16;
  mx::Shape shape{static_cast<int>(count), static_cast<int>(k)};
  return cpu_make(shape, mx::float32, "Rows", {packed, mx::contiguous(ids, false, s)}, s, [=](const std::vector<const void*>& in, void* out) {
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
  std::vector<mx::array> inputs{cpu_plain(x, s)};
  if (weight) inputs.push_back(cpu_plain(*weight, s));
  return cpu_make(x.shape(), mx::float32, "RmsNorm", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    kernels().rms_norm(floats(in[0]), in.size() > 1 ? floats(in[1]) : nullptr, eps, static_cast<float*>(out), rows, n);
  });
}

mx::array cpu_layer_norm(
    const mx::array& x, const std::optional<mx::array>& weight, const std::optional<mx::array>& bias, float eps, mx::Stream s) {
  require(x.ndim() >= 1, "layer_norm: no axis");
  int64_t n = x.shape(-1), rows = n > 0 ? x.size() / n : 0;
  std::vector<mx::array> inputs{cpu_plain(x, s)};
  for (const auto* part : {&weight, &bias}) {
    if (!*part) continue;
    require((*part)->ndim() == 1 && (*part)->shape(0) == n, "layer_norm: weight or bias has another length");
    inputs.push_back(cpu_plain(**part, s));
  }
  bool weighted = weight.has_value();
  return cpu_make(x.shape(), mx::float32, "LayerNorm", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    const float* w = weighted ? floats(in[1]) : nullptr;
    const float* b = in.size() > (weighted ? 2 : 1) ? floats(in.back()) : nullptr;
    kernels().layer_norm(floats(in[0]), w, b, eps, static_cast<float*>(out), rows, n);
  });
}

namespace {

// A gated activation, in stretches shared among the threads.
mx::array gated(const mx::array& gate, const mx::array& up, const char* name, decltype(Kernels::swiglu) Kernels::* kernel, mx::Stream s) {
  require(gate.shape() == up.shape(), "a gated activation: shapes differ");
  int64_t n = gate.size();
  return cpu_make(gate.shape(), mx::float32, name, {cpu_plain(gate, s), cpu_plain(up, s)}, s, [=](const std::vector<const void*>& in, void* out) {
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
  std::vector<mx::array> inputs{mx::contiguous(positions, false, s), cpu_plain(freqs, s)};
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

mx::array cpu_rope(const mx::array& x, const mx::array& table, bool pairs, mx::Stream s) {
  require(x.ndim() == 3 && table.ndim() == 3 && table.shape(0) == x.shape(0), "rope: x [T, H, D], table [T, 2, half]");
  int64_t tokens = x.shape(0), heads = x.shape(1), dim = x.shape(2), half = table.shape(2);
  require(2 * half <= dim, "rope: more rotated than there is");
  return cpu_make(x.shape(), mx::float32, "Rope", {cpu_plain(x, s), cpu_plain(table, s)}, s, [=](const std::vector<const void*>& in, void* out) {
    kernels().rope(floats(in[0]), floats(in[1]), static_cast<float*>(out), tokens, heads, dim, half, pairs);
  });
}

mx::array cpu_argmax(const mx::array& x, mx::Stream s) {
  require(x.ndim() == 2 && x.shape(1) > 0, "argmax: rows are needed");
  int64_t rows = x.shape(0), n = x.shape(1);
  return cpu_make({static_cast<int>(rows)}, mx::uint32, "Argmax", {cpu_plain(x, s)}, s, [=](const std::vector<const void*>& in, void* out) {
    for (int64_t r = 0; r < rows; r++) static_cast<uint32_t*>(out)[r] = static_cast<uint32_t>(kernels().argmax(floats(in[0]) + r * n, n));
  });
}

}  // namespace shim
