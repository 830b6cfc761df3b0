// Inner loops of the CPU primitives, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstdint>

namespace shim {

// Weights are packed in panels of this many output columns: [panels, K, kPanel], so that a product streams them once.
constexpr int kPanel = 32;

// Rows of queries (tokens x heads of a group) that `attend_many` takes at once.
constexpr int kQueryRows = 192;

// How the elements of a packed weight are stored.
enum class WeightKind : int { f32 = 0, bf16 = 1 };

// A quantized panel is a row of groups; each has kPanel scales and kPanel offsets (float32), then the levels of its inputs:
// 16 bytes each with 4 bits (column c in the low half of byte c, column c + 16 in the high half), 32 bytes with 8 bits.
struct QuantizedLayout {
  int64_t k;
  int group;
  int bits;  // 4 or 8
  int64_t input_bytes() const { return kPanel * bits / 8; }
  int64_t group_bytes() const { return 2 * kPanel * 4 + group * input_bytes(); }
  int64_t panel_bytes() const { return k / group * group_bytes(); }
};

// Attention of one sequence's tokens over one cache row, for the query heads that share a key-value head. The key of position p
// lies in slot p % slots.
struct AttentionTask {
  const float* q;       // [tokens][heads][dim], at the first head of the group
  int64_t q_stride;     // floats between tokens
  const float* k;       // [slots], k_stride floats apart
  const float* v;       // [slots], v_stride floats apart
  int64_t k_stride, v_stride;
  int64_t slots;
  float* out;           // like q, with value_dim
  int64_t out_stride;   // floats between tokens
  int heads;            // query heads of the group
  int dim, value_dim;
  int tokens;           // queries; the last one's position is keys - 1, those before it precede
  int keys;
  int window;           // > 0: a query sees itself and so many less one before it
  int chunk;            // > 0: a query sees what follows the last multiple of it
  float scale;
  float softcap;        // > 0: scores become softcap tanh(score / softcap)
  const float* sinks;   // [heads] of the group, or null: a score without a value

  // First position that a query sees.
  int64_t first_seen(int64_t position) const {
    if (window > 0) return position < window ? 0 : position - window + 1;
    return chunk > 0 ? position - position % chunk : 0;
  }
};

struct Kernels {
  const char* name;
  // y[m][n] = sum_k x[m][k] w[n][k] (+ bias[n]) for the panels [first, last) of n columns in all.
  void (*linear)(const float* x, int64_t rows, int64_t k, const void* packed, WeightKind kind, const float* bias, float* y,
                 int64_t n, int64_t first_panel, int64_t last_panel);
  // The same with quantized panels.
  void (*quantized)(const float* x, int64_t rows, const QuantizedLayout& layout, const uint8_t* packed, const float* bias, float* y,
                    int64_t n, int64_t first_panel, int64_t last_panel);
  void (*rms_norm)(const float* x, const float* weight, float eps, float* y, int64_t rows, int64_t n);
  // (x - mean) / deviation * weight + bias
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float* y, int64_t rows, int64_t n);
  // silu(gate) * up
  void (*swiglu)(const float* gate, const float* up, float* y, int64_t n);
  // gelu(gate) * up, with gelu's tanh approximation
  void (*geglu)(const float* gate, const float* up, float* y, int64_t n);
  // table [tokens][half][2] of cos and sin; rotates the first 2 * half of each head, copies the rest.
  void (*rope)(const float* x, const float* table, float* y, int64_t tokens, int64_t heads, int64_t dim, int64_t half, bool pairs);
  void (*attend_one)(const AttentionTask& task, float* scratch);   // tokens == 1
  void (*attend_many)(const AttentionTask& task, float* scratch);  // any number of tokens
  // y = e^((x - shift) scale), 0 where x is below `low`; returns the sum.
  double (*exponentials)(const float* x, float shift, float scale, float low, float* y, int64_t n);
  // Index of the first maximum.
  int64_t (*argmax)(const float* x, int64_t n);
};

// Floats of scratch that the attention kernels need.
int64_t attention_scratch(const AttentionTask& task);

const Kernels& kernels();

}  // namespace shim
