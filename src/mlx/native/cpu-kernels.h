// Inner loops of the CPU primitives, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstdint>

namespace shim {

// Weights are packed in panels of this many output columns: [panels, K, kPanel], so that a product streams them once.
constexpr int kPanel = 32;

// Rows of queries (tokens x heads of a group) that `attend_many` takes at once.
constexpr int kQueryRows = 192;

// From so many heads of a group on they are computed together.
constexpr int kWideGroup = 12;

// How the elements of a packed weight are stored.
enum class WeightKind : int { f32 = 0, bf16 = 1 };

// A quantized panel is a row of groups; each has kPanel scales and, unless its levels are floating-point numbers, kPanel offsets
// (float32), then the levels of its inputs: 16 bytes each with 4 bits (column c in the low half of byte c, column c + 16 in the
// high half), 32 bytes with 8 bits.
struct QuantizedLayout {
  int64_t k;
  int group;
  int bits;      // 4 or 8
  bool e2m1;     // levels of 4 bits are floating-point numbers, of which the scales are half
  int middle;    // from which levels of 8 bits are counted while they are added up: sums of them lose less
  int64_t input_bytes() const { return kPanel * bits / 8; }
  int64_t head_bytes() const { return (e2m1 ? 1 : 2) * kPanel * 4; }
  int64_t group_bytes() const { return head_bytes() + group * input_bytes(); }
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
  bool both = false;    // every query sees all keys, later ones too; `attend_many` only, without window and chunk

  // Whether every head goes over the keys by itself. Many heads on the same keys are computed together even for one token.
  bool one_by_one() const { return tokens == 1 && heads < kWideGroup; }

  // First position that a query sees.
  int64_t first_seen(int64_t position) const {
    if (window > 0) return position < window ? 0 : position - window + 1;
    return chunk > 0 ? position - position % chunk : 0;
  }
};

// A stretch of one sequence through a causal depthwise convolution. All rows are `stride` floats apart.
struct ConvolveTask {
  const float* x;       // [tokens][channels]
  const float* weight;  // [taps][channels], the last one for the token itself
  const float* bias;    // [channels] or null
  float* state;         // [taps - 1][channels]: the inputs before, the oldest first
  float* y;             // [tokens][channels]
  int64_t stride;
  int64_t tokens, channels;
  int taps;
  bool fresh;           // nothing has been before
  bool silu;
};

constexpr int kMaxTaps = 16;

// Tokens that a scan takes at once, so that what is prepared for them stays in a near cache.
constexpr int64_t kScanTokens = 64;

// A stretch of one sequence through one value head of a gated delta rule.
struct DeltaTask {
  const float* q;        // [tokens][key_dim], not normalised
  const float* k;        // [tokens][key_dim], not normalised
  const float* v;        // [tokens][value_dim]
  int64_t stride;        // floats between tokens
  const float* a;        // [tokens]
  const float* b;        // [tokens]
  int64_t gate_stride;
  float decay, bias;
  float* state;          // [value_dim][key_dim]
  float* y;              // [tokens][value_dim]
  int64_t y_stride;
  int64_t tokens;
  int key_dim, value_dim;
  bool fresh;
};

// A stretch of one sequence through one head of a state space.
struct StateSpaceTask {
  const float* x;        // [tokens][dim]
  const float* b;        // [tokens][states]
  const float* c;        // [tokens][states]
  int64_t stride;        // floats between tokens
  const float* dt;       // [tokens]
  int64_t dt_stride;
  float bias, decay, skip, low, high;
  float* state;          // [dim][states]
  float* y;              // [tokens][dim]
  int64_t y_stride;
  int64_t tokens;
  int dim, states;
  bool fresh;
};

struct Kernels {
  const char* name;
  // So many rows of k inputs stay in the second-level cache while panels pass, in whole tiles.
  int64_t (*chunk_rows)(int64_t k);
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
  // (up + 1) gate sigmoid(1.702 gate), gate held at 7 from above and up at both sides
  void (*clipped_swiglu)(const float* gate, const float* up, float* y, int64_t n);
  // x (1 + erf(x / sqrt(2))) / 2
  void (*gelu)(const float* x, float* y, int64_t n);
  // table [tokens][half][2] of cos and sin; rotates the first 2 * half of each head, copies the rest.
  void (*rope)(const float* x, const float* table, float* y, int64_t tokens, int64_t heads, int64_t dim, int64_t half, bool pairs);
  void (*attend_one)(const AttentionTask& task, float* scratch);   // one_by_one()
  void (*attend_many)(const AttentionTask& task, float* scratch);  // any number of tokens
  // y = e^((x - shift) scale), 0 where x is below `low`; returns the sum.
  double (*exponentials)(const float* x, float shift, float scale, float low, float* y, int64_t n);
  // Index of the first maximum.
  int64_t (*argmax)(const float* x, int64_t n);
  void (*convolve)(const ConvolveTask& task);
  void (*gated_delta)(const DeltaTask& task, float* scratch);
  void (*state_space)(const StateSpaceTask& task, float* scratch);
};

// Floats of scratch that the attention kernels need.
int64_t attention_scratch(const AttentionTask& task);

// Floats of scratch that the scans need whose inner loop is `dim` long.
int64_t scan_scratch(int64_t dim);

const Kernels& kernels();

}  // namespace shim
