// Products with packed matrices: one, several with the same input, and the gated half of a feed-forward part.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

// How a packed matrix [n, k] lies in memory.
struct PackedMatrix {
  int64_t k, n, panels;
  bool quantized;
  WeightKind kind;    // of a dense one
  QuantizedLayout q;  // of a quantized one

  PackedMatrix(const mx::array& packed, int64_t inputs, int64_t columns, int group, int bits)
      : k(inputs), n(columns), panels((n + kPanel - 1) / kPanel), quantized(bits > 0), kind(WeightKind::f32), q{} {
    require(n > 0, "linear: no columns");
    if (quantized) {
      q = quantized_layout(packed, k, group, bits);
      require(packed.dtype() == mx::uint8 && packed.shape(0) == panels && packed.shape(1) == q.panel_bytes(), "linear: shapes differ");
    } else {
      require(packed.ndim() == 3 && packed.shape(2) == kPanel, "linear: the weight is not packed");
      require(packed.shape(1) == k && packed.shape(0) == panels, "linear: shapes differ");
      if (packed.dtype() == mx::bfloat16) kind = WeightKind::bf16;
    }
  }

  const void* panel(const void* packed, int64_t p) const {
    int64_t bytes = quantized ? q.panel_bytes() : k * kPanel * (kind == WeightKind::bf16 ? 2 : 4);
    return static_cast<const uint8_t*>(packed) + p * bytes;
  }

  // y [rows][width] = x [rows][k] times the panels [first, last) of so many columns.
  void multiply(const float* x, int64_t rows, const void* packed, const float* bias, float* y, int64_t width, int64_t first, int64_t last) const {
    if (quantized)
      kernels().quantized(x, rows, q, static_cast<const uint8_t*>(packed), bias, y, width, first, last);
    else
      kernels().linear(x, rows, k, packed, kind, bias, y, width, first, last);
  }
};

int64_t rows_of(const mx::array& x) {
  require(x.ndim() >= 1 && x.shape(-1) > 0, "linear: no axis");
  return static_cast<int64_t>(x.size()) / x.shape(-1);
}

// So many panels a work item that it takes long enough to be worth handing over, and there are several for each thread.
int64_t panels_per_item(int64_t panels, int64_t rows, int64_t k) {
  int64_t least = std::max<int64_t>(1, 300000 / std::max<int64_t>(1, rows * k * kPanel));
  int64_t even = std::max<int64_t>(1, panels / (2 * compute_threads()));
  return std::max(least, even);
}

// Products with one input, of which a single one may be added to something. Known by the address of its name.
class Linear : public CpuPrimitive {
 public:
  static constexpr char kName[] = "Linear";
  Linear(mx::Stream s, CpuRunMany run, const std::vector<PackedMatrix>& matrices, bool biased, bool added)
      : CpuPrimitive(s, kName, std::move(run), kNoneWritten, mx::allocator::malloc), matrices(matrices), biased(biased), added(added) {}

  const std::vector<PackedMatrix> matrices;
  const bool biased, added;
};

// inputs: x, the packed matrices, their biases if there are such, and what the only product is added to, if anything.
std::vector<mx::array> make_linear(const std::vector<PackedMatrix>& matrices, std::vector<mx::array> inputs, bool biased, bool added, mx::Stream s) {
  if (s.device != mx::Device::cpu) throw std::invalid_argument("Linear is for the CPU only");
  const mx::array& x = inputs[0];
  const int64_t rows = rows_of(x);
  std::vector<mx::Shape> shapes;
  int64_t total = 0;
  for (const PackedMatrix& matrix : matrices) {
    shapes.push_back(x.shape());
    shapes.back().back() = static_cast<int>(matrix.n);
    total += matrix.panels;
  }
  struct Item {
    size_t matrix;
    int64_t first, last;
  };
  std::vector<Item> items;
  int64_t step = panels_per_item(total, rows, matrices[0].k);
  for (size_t i = 0; i < matrices.size(); i++)
    for (int64_t p = 0; p < matrices[i].panels; p += step) items.push_back({i, p, std::min(matrices[i].panels, p + step)});
  auto run = [=](const std::vector<const void*>& in, const std::vector<void*>& out) {
    parallel_for(static_cast<int64_t>(items.size()), [&](int64_t i) {
      auto [m, first, last] = items[i];
      int64_t n = matrices[m].n;
      auto* y = static_cast<float*>(out[m]);
      matrices[m].multiply(floats(in[0]), rows, in[1 + m], biased ? floats(in[1 + matrices.size() + m]) : nullptr, y, n, first, last);
      if (!added) return;
      const float* plus = floats(in.back());
      int64_t end = std::min(n, last * kPanel);
      for (int64_t r = 0; r < rows; r++)
        for (int64_t c = first * kPanel; c < end; c++) y[r * n + c] += plus[r * n + c];
    });
  };
  std::vector<mx::Dtype> dtypes(matrices.size(), mx::float32);
  return mx::array::make_arrays(std::move(shapes), dtypes, std::make_shared<Linear>(s, std::move(run), matrices, biased, added), inputs);
}

}  // namespace

std::vector<mx::array> cpu_linears(
    const mx::array& x, const std::vector<mx::array>& packed, const std::vector<mx::array>& biases, const std::vector<int>& n, int group, int bits,
    mx::Stream s) {
  require(!packed.empty() && n.size() == packed.size() && (biases.empty() || biases.size() == n.size()), "linear: so many matrices, sizes and biases");
  rows_of(x);
  std::vector<PackedMatrix> matrices;
  std::vector<mx::array> inputs{cpu_float32(x)};
  inputs.insert(inputs.end(), packed.begin(), packed.end());
  for (size_t i = 0; i < n.size(); i++) matrices.emplace_back(packed[i], x.shape(-1), n[i], group, bits);
  for (size_t i = 0; i < biases.size(); i++) {
    require(biases[i].ndim() == 1 && biases[i].shape(0) == n[i], "linear: the bias has another length");
    inputs.push_back(cpu_float32(biases[i]));
  }
  return make_linear(matrices, std::move(inputs), !biases.empty(), false, s);
}

mx::array cpu_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, int n, int group, int bits, mx::Stream s) {
  std::vector<mx::array> biases;
  if (bias) biases.push_back(*bias);
  return cpu_linears(x, {packed}, biases, {n}, group, bits, s)[0];
}

mx::array cpu_add_to(const mx::array& x, const mx::array& change, mx::Stream s) {
  bool product = change.has_primitive() && change.primitive().name() == Linear::kName;
  const Linear* linear = product ? static_cast<const Linear*>(&change.primitive()) : nullptr;
  bool alone = linear != nullptr && linear->matrices.size() == 1 && !linear->added;
  if (!alone || x.shape() != change.shape() || x.dtype() != mx::float32) return mx::add(x, change, s);
  std::vector<mx::array> inputs = change.inputs();
  inputs.push_back(x);
  return make_linear(linear->matrices, std::move(inputs), linear->biased, true, s)[0];
}

mx::array cpu_gated_linear(
    const mx::array& x, const mx::array& gate, const mx::array& up, int n, int group, int bits, bool gelu, mx::Stream s) {
  int64_t rows = rows_of(x), k = x.shape(-1);
  PackedMatrix gates(gate, k, n, group, bits), ups(up, k, n, group, bits);
  mx::Shape shape = x.shape();
  shape.back() = n;
  return cpu_make(shape, mx::float32, "GatedLinear", {cpu_float32(x), gate, up}, s, [=](const std::vector<const void*>& in, void* out) {
    auto activate = gelu ? kernels().geglu : kernels().swiglu;
    int64_t chunk = std::min(rows, kernels().chunk_rows(k));
    int64_t step = panels_per_item(gates.panels, rows, 2 * k);
    parallel_for((gates.panels + step - 1) / step, [&](int64_t item) {
      // A panel's gates and what they gate, [chunk][kPanel] each, stay in a near cache.
      thread_local std::vector<float> scratch;
      size_t need = static_cast<size_t>(2 * chunk * kPanel);
      if (scratch.size() < need) scratch.resize(need);
      float *a = scratch.data(), *b = a + chunk * kPanel;
      for (int64_t m = 0; m < rows; m += chunk) {
        int64_t count = std::min(chunk, rows - m);
        for (int64_t p = item * step; p < std::min(gates.panels, (item + 1) * step); p++) {
          gates.multiply(floats(in[0]) + m * k, count, gates.panel(in[1], p), nullptr, a, kPanel, 0, 1);
          ups.multiply(floats(in[0]) + m * k, count, ups.panel(in[2], p), nullptr, b, kPanel, 0, 1);
          int64_t columns = std::min<int64_t>(kPanel, n - p * kPanel);
          float* y = static_cast<float*>(out) + m * n + p * kPanel;
          activate(a, b, a, count * kPanel);
          for (int64_t i = 0; i < count; i++) std::memcpy(y + i * n, a + i * kPanel, columns * sizeof(float));
        }
      }
    });
  });
}

}  // namespace shim
