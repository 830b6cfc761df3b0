// Written by generate.ts from op-table.ts.
#include "cpu-primitives.h"
#include "shim.h"

namespace shim {

extern "C" {

SHIM_EXPORT Handle op_add(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::add(a, b, S));
  });
}

SHIM_EXPORT Handle op_subtract(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::subtract(a, b, S));
  });
}

SHIM_EXPORT Handle op_multiply(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::multiply(a, b, S));
  });
}

SHIM_EXPORT Handle op_divide(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::divide(a, b, S));
  });
}

SHIM_EXPORT Handle op_floor_divide(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::floor_divide(a, b, S));
  });
}

SHIM_EXPORT Handle op_maximum(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::maximum(a, b, S));
  });
}

SHIM_EXPORT Handle op_minimum(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::minimum(a, b, S));
  });
}

SHIM_EXPORT Handle op_power(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::power(a, b, S));
  });
}

SHIM_EXPORT Handle op_negative(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::negative(a, S));
  });
}

SHIM_EXPORT Handle op_exp(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::exp(a, S));
  });
}

SHIM_EXPORT Handle op_expm1(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::expm1(a, S));
  });
}

SHIM_EXPORT Handle op_log(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::log(a, S));
  });
}

SHIM_EXPORT Handle op_logaddexp(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::logaddexp(a, b, S));
  });
}

SHIM_EXPORT Handle op_sqrt(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::sqrt(a, S));
  });
}

SHIM_EXPORT Handle op_square(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::square(a, S));
  });
}

SHIM_EXPORT Handle op_tanh(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::tanh(a, S));
  });
}

SHIM_EXPORT Handle op_erf(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::erf(a, S));
  });
}

SHIM_EXPORT Handle op_sigmoid(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::sigmoid(a, S));
  });
}

SHIM_EXPORT Handle op_cos(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::cos(a, S));
  });
}

SHIM_EXPORT Handle op_sin(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::sin(a, S));
  });
}

SHIM_EXPORT Handle op_floor(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::floor(a, S));
  });
}

SHIM_EXPORT Handle op_bitwise_and(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::bitwise_and(a, b, S));
  });
}

SHIM_EXPORT Handle op_left_shift(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::left_shift(a, b, S));
  });
}

SHIM_EXPORT Handle op_right_shift(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::right_shift(a, b, S));
  });
}

SHIM_EXPORT Handle op_equal(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::equal(a, b, S));
  });
}

SHIM_EXPORT Handle op_less(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::less(a, b, S));
  });
}

SHIM_EXPORT Handle op_less_equal(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::less_equal(a, b, S));
  });
}

SHIM_EXPORT Handle op_greater(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::greater(a, b, S));
  });
}

SHIM_EXPORT Handle op_greater_equal(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::greater_equal(a, b, S));
  });
}

SHIM_EXPORT Handle op_logical_and(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::logical_and(a, b, S));
  });
}

SHIM_EXPORT Handle op_logical_or(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::logical_or(a, b, S));
  });
}

SHIM_EXPORT Handle op_logical_not(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::logical_not(a, S));
  });
}

SHIM_EXPORT Handle op_where(Handle condition_, Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& condition = array_at(condition_);
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::where(condition, a, b, S));
  });
}

SHIM_EXPORT Handle op_reshape(Handle a_, const int32_t* shape_, int32_t shape_n) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    std::vector<int> shape(shape_, shape_ + shape_n);
    return hold(mx::reshape(a, shape_of(shape), S));
  });
}

SHIM_EXPORT Handle op_transpose(Handle a_, const int32_t* axes_, int32_t axes_n) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    std::vector<int> axes(axes_, axes_ + axes_n);
    return hold(mx::transpose(a, axes, S));
  });
}

SHIM_EXPORT Handle op_expand_dims(Handle a_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::expand_dims(a, axis, S));
  });
}

SHIM_EXPORT Handle op_squeeze(Handle a_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::squeeze(a, axis, S));
  });
}

SHIM_EXPORT Handle op_broadcast_to(Handle a_, const int32_t* shape_, int32_t shape_n) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    std::vector<int> shape(shape_, shape_ + shape_n);
    return hold(mx::broadcast_to(a, shape_of(shape), S));
  });
}

SHIM_EXPORT Handle op_concatenate(const double* list_, int32_t list_n, int32_t axis) {
  return guard([&]() -> Handle {
    std::vector<mx::array> list = arrays_at(list_, list_n);
    return hold(mx::concatenate(list, axis, S));
  });
}

SHIM_EXPORT Handle op_slice(Handle a_, const int32_t* start_, int32_t start_n, const int32_t* stop_, int32_t stop_n) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    std::vector<int> start(start_, start_ + start_n);
    std::vector<int> stop(stop_, stop_ + stop_n);
    return hold(mx::slice(a, shape_of(start), shape_of(stop), S));
  });
}

SHIM_EXPORT Handle op_slice_update(Handle a_, Handle update_, const int32_t* start_, int32_t start_n, const int32_t* stop_, int32_t stop_n) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& update = array_at(update_);
    std::vector<int> start(start_, start_ + start_n);
    std::vector<int> stop(stop_, stop_ + stop_n);
    return hold(mx::slice_update(a, update, shape_of(start), shape_of(stop), S));
  });
}

SHIM_EXPORT Handle op_contiguous(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::contiguous(a, false, S));
  });
}

SHIM_EXPORT Handle op_view(Handle a_, int32_t dtype_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    mx::Dtype dtype = dtype_at(dtype_);
    return hold(mx::view(a, dtype, S));
  });
}

SHIM_EXPORT Handle op_astype(Handle a_, int32_t dtype_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    mx::Dtype dtype = dtype_at(dtype_);
    return hold(mx::astype(a, dtype, S));
  });
}

SHIM_EXPORT Handle op_zeros(const int32_t* shape_, int32_t shape_n, int32_t dtype_) {
  return guard([&]() -> Handle {
    std::vector<int> shape(shape_, shape_ + shape_n);
    mx::Dtype dtype = dtype_at(dtype_);
    return hold(mx::zeros(shape_of(shape), dtype, S));
  });
}

SHIM_EXPORT Handle op_full(const int32_t* shape_, int32_t shape_n, double value_, int32_t dtype_) {
  return guard([&]() -> Handle {
    std::vector<int> shape(shape_, shape_ + shape_n);
    float value = static_cast<float>(value_);
    mx::Dtype dtype = dtype_at(dtype_);
    return hold(mx::full(shape_of(shape), mx::array(value, dtype), S));
  });
}

SHIM_EXPORT Handle op_arange(int32_t start, int32_t stop) {
  return guard([&]() -> Handle {
    return hold(mx::arange(start, stop, 1, S));
  });
}

SHIM_EXPORT Handle op_take(Handle a_, Handle indices_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& indices = array_at(indices_);
    return hold(mx::take(a, indices, axis, S));
  });
}

SHIM_EXPORT Handle op_take_along_axis(Handle a_, Handle indices_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& indices = array_at(indices_);
    return hold(mx::take_along_axis(a, indices, axis, S));
  });
}

SHIM_EXPORT Handle op_put_along_axis(Handle a_, Handle indices_, Handle values_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& indices = array_at(indices_);
    const mx::array& values = array_at(values_);
    return hold(mx::put_along_axis(a, indices, values, axis, S));
  });
}

SHIM_EXPORT Handle op_scatter_rows(Handle a_, Handle rows_, Handle updates_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& rows = array_at(rows_);
    const mx::array& updates = array_at(updates_);
    return hold(scatter_rows(a, rows, updates, S));
  });
}

SHIM_EXPORT Handle op_scatter_positions(Handle a_, Handle rows_, Handle positions_, Handle updates_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& rows = array_at(rows_);
    const mx::array& positions = array_at(positions_);
    const mx::array& updates = array_at(updates_);
    return hold(scatter_positions(a, rows, positions, updates, S));
  });
}

SHIM_EXPORT Handle op_clone(Handle a_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::add(a, mx::array(0, a.dtype()), S));
  });
}

SHIM_EXPORT Handle op_renew(Handle a_, const double* after_, int32_t after_n) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    std::vector<mx::array> after = arrays_at(after_, after_n);
    return hold(renew(a, after, S));
  });
}

SHIM_EXPORT Handle op_sum(Handle a_, int32_t axis, bool keep) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::sum(a, axis, keep, S));
  });
}

SHIM_EXPORT Handle op_mean(Handle a_, int32_t axis, bool keep) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::mean(a, axis, keep, S));
  });
}

SHIM_EXPORT Handle op_max(Handle a_, int32_t axis, bool keep) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::max(a, axis, keep, S));
  });
}

SHIM_EXPORT Handle op_min(Handle a_, int32_t axis, bool keep) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::min(a, axis, keep, S));
  });
}

SHIM_EXPORT Handle op_logsumexp(Handle a_, int32_t axis, bool keep) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::logsumexp(a, axis, keep, S));
  });
}

SHIM_EXPORT Handle op_argmax(Handle a_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::argmax(a, axis, false, S));
  });
}

SHIM_EXPORT Handle op_cumsum(Handle a_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::cumsum(a, axis, false, true, S));
  });
}

SHIM_EXPORT Handle op_softmax(Handle a_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::softmax(a, axis, true, S));
  });
}

SHIM_EXPORT Handle op_sort(Handle a_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::sort(a, axis, S));
  });
}

SHIM_EXPORT Handle op_argsort(Handle a_, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::argsort(a, axis, S));
  });
}

SHIM_EXPORT Handle op_argpartition(Handle a_, int32_t kth, int32_t axis) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(mx::argpartition(a, kth, axis, S));
  });
}

SHIM_EXPORT Handle op_conv1d(Handle x_, Handle weight_, int32_t groups) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& weight = array_at(weight_);
    return hold(mx::conv1d(x, weight, 1, 0, 1, groups, S));
  });
}

SHIM_EXPORT Handle op_matmul(Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::matmul(a, b, S));
  });
}

SHIM_EXPORT Handle op_addmm(Handle c_, Handle a_, Handle b_) {
  return guard([&]() -> Handle {
    const mx::array& c = array_at(c_);
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    return hold(mx::addmm(c, a, b, 1.0f, 1.0f, S));
  });
}

SHIM_EXPORT Handle op_gather_mm(Handle a_, Handle b_, Handle matrices_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    const mx::array& matrices = array_at(matrices_);
    return hold(mx::gather_mm(a, b, std::nullopt, matrices, false, S));
  });
}

SHIM_EXPORT Handle op_expert_mm(Handle x_, Handle w_, Handle experts_, bool sorted) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& w = array_at(w_);
    const mx::array& experts = array_at(experts_);
    return hold(mx::gather_mm(x, w, std::nullopt, experts, sorted, S));
  });
}

SHIM_EXPORT Handle op_expert_qmm(Handle x_, Handle w_, Handle scales_, Handle biases_, Handle experts_, int32_t groupSize, int32_t bits, int32_t mode_, bool sorted) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& w = array_at(w_);
    const mx::array& scales = array_at(scales_);
    std::optional<mx::array> biases = optional_at(biases_);
    const mx::array& experts = array_at(experts_);
    const std::string& mode = mode_at(mode_);
    return hold(mx::gather_qmm(x, w, scales, biases, std::nullopt, experts, true, groupSize, bits, mode, std::nullopt, sorted, S));
  });
}

SHIM_EXPORT Handle op_quantized_matmul(Handle x_, Handle w_, Handle scales_, Handle biases_, bool transpose, int32_t groupSize, int32_t bits, int32_t mode_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& w = array_at(w_);
    const mx::array& scales = array_at(scales_);
    std::optional<mx::array> biases = optional_at(biases_);
    const std::string& mode = mode_at(mode_);
    return hold(mx::quantized_matmul(x, w, scales, biases, transpose, groupSize, bits, mode, S));
  });
}

SHIM_EXPORT Handle op_quantize(Handle w_, int32_t groupSize, int32_t bits) {
  return guard([&]() -> Handle {
    const mx::array& w = array_at(w_);
    return hold(mx::quantize(w, groupSize, bits, "affine", std::nullopt, S)[0]);
  });
}

SHIM_EXPORT Handle op_output(Handle a_, int32_t index) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(a.outputs().at(index));
  });
}

SHIM_EXPORT Handle op_from_fp8(Handle a_, int32_t dtype_) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    mx::Dtype dtype = dtype_at(dtype_);
    return hold(mx::from_fp8(a, dtype, S));
  });
}

SHIM_EXPORT Handle op_dequantize(Handle w_, Handle scales_, Handle biases_, int32_t groupSize, int32_t bits, int32_t mode_, int32_t dtype_) {
  return guard([&]() -> Handle {
    const mx::array& w = array_at(w_);
    const mx::array& scales = array_at(scales_);
    std::optional<mx::array> biases = optional_at(biases_);
    const std::string& mode = mode_at(mode_);
    mx::Dtype dtype = dtype_at(dtype_);
    return hold(mx::dequantize(w, scales, biases, groupSize, bits, mode, std::nullopt, dtype, S));
  });
}

SHIM_EXPORT Handle op_rms_norm(Handle x_, Handle weight_, double eps_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    std::optional<mx::array> weight = optional_at(weight_);
    float eps = static_cast<float>(eps_);
    return hold(mx::fast::rms_norm(x, weight, eps, S));
  });
}

SHIM_EXPORT Handle op_layer_norm(Handle x_, Handle weight_, Handle bias_, double eps_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    std::optional<mx::array> weight = optional_at(weight_);
    std::optional<mx::array> bias = optional_at(bias_);
    float eps = static_cast<float>(eps_);
    return hold(mx::fast::layer_norm(x, weight, bias, eps, S));
  });
}

SHIM_EXPORT Handle op_rope(Handle x_, int32_t dims, bool traditional, double base_, double scale_, Handle offset_, Handle freqs_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    float base = static_cast<float>(base_);
    float scale = static_cast<float>(scale_);
    const mx::array& offset = array_at(offset_);
    std::optional<mx::array> freqs = optional_at(freqs_);
    return hold(mx::fast::rope(x, dims, traditional, freqs ? std::nullopt : std::optional<float>(base), scale, offset, freqs, S));
  });
}

SHIM_EXPORT Handle op_attention(Handle q_, Handle k_, Handle v_, double scale_, bool causal, Handle mask_, Handle sinks_) {
  return guard([&]() -> Handle {
    const mx::array& q = array_at(q_);
    const mx::array& k = array_at(k_);
    const mx::array& v = array_at(v_);
    float scale = static_cast<float>(scale_);
    std::optional<mx::array> mask = optional_at(mask_);
    std::optional<mx::array> sinks = optional_at(sinks_);
    return hold(mx::fast::scaled_dot_product_attention(q, k, v, scale, causal ? "causal" : "", mask, sinks, false, S));
  });
}

SHIM_EXPORT Handle op_fused_gated_delta(Handle q_, Handle k_, Handle v_, Handle g_, Handle beta_, Handle state_) {
  return guard([&]() -> Handle {
    const mx::array& q = array_at(q_);
    const mx::array& k = array_at(k_);
    const mx::array& v = array_at(v_);
    const mx::array& g = array_at(g_);
    const mx::array& beta = array_at(beta_);
    const mx::array& state = array_at(state_);
    return hold(fused_gated_delta(q, k, v, g, beta, state, S));
  });
}

SHIM_EXPORT Handle op_cpu_pack(Handle weight_) {
  return guard([&]() -> Handle {
    const mx::array& weight = array_at(weight_);
    return hold(cpu_pack(weight, S));
  });
}

SHIM_EXPORT Handle op_cpu_empty_rows(const int32_t* shape_, int32_t shape_n, int32_t room) {
  return guard([&]() -> Handle {
    std::vector<int> shape(shape_, shape_ + shape_n);
    return hold(cpu_empty_rows(shape_of(shape), room, S));
  });
}

SHIM_EXPORT Handle op_cpu_more_rows(Handle a_, int32_t rows, int32_t room) {
  return guard([&]() -> Handle {
    const mx::array& a = array_at(a_);
    return hold(cpu_more_rows(a, rows, room, S));
  });
}

SHIM_EXPORT Handle op_cpu_copy_row(const double* from_, int32_t from_n, const double* to_, int32_t to_n, int32_t fromRow, int32_t toRow, const int32_t* slots_, int32_t slots_n) {
  return guard([&]() -> Handle {
    std::vector<mx::array> from = arrays_at(from_, from_n);
    std::vector<mx::array> to = arrays_at(to_, to_n);
    std::vector<int> slots(slots_, slots_ + slots_n);
    return hold(cpu_copy_row(from, to, fromRow, toRow, slots, S));
  });
}

SHIM_EXPORT Handle op_cpu_linear(Handle x_, Handle packed_, Handle bias_, int32_t n, int32_t group, int32_t bits) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& packed = array_at(packed_);
    std::optional<mx::array> bias = optional_at(bias_);
    return hold(cpu_linear(x, packed, bias, n, group, bits, S));
  });
}

SHIM_EXPORT Handle op_cpu_linears(Handle x_, const double* packed_, int32_t packed_n, const double* biases_, int32_t biases_n, const int32_t* n_, int32_t n_n, int32_t group, int32_t bits) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    std::vector<mx::array> packed = arrays_at(packed_, packed_n);
    std::vector<mx::array> biases = arrays_at(biases_, biases_n);
    std::vector<int> n(n_, n_ + n_n);
    return hold(cpu_linears(x, packed, biases, n, group, bits, S)[0]);
  });
}

SHIM_EXPORT Handle op_cpu_add_to(Handle x_, Handle change_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& change = array_at(change_);
    return hold(cpu_add_to(x, change, S));
  });
}

SHIM_EXPORT Handle op_cpu_gated_linear(Handle x_, Handle gate_, Handle up_, int32_t n, int32_t group, int32_t bits, bool gelu) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& gate = array_at(gate_);
    const mx::array& up = array_at(up_);
    return hold(cpu_gated_linear(x, gate, up, n, group, bits, gelu, S));
  });
}

SHIM_EXPORT Handle op_cpu_rows(Handle packed_, Handle ids_) {
  return guard([&]() -> Handle {
    const mx::array& packed = array_at(packed_);
    const mx::array& ids = array_at(ids_);
    return hold(cpu_rows(packed, ids, S));
  });
}

SHIM_EXPORT Handle op_cpu_quantized_pack(Handle weight_, Handle scales_, Handle biases_, int32_t k, int32_t group, int32_t bits) {
  return guard([&]() -> Handle {
    const mx::array& weight = array_at(weight_);
    const mx::array& scales = array_at(scales_);
    const mx::array& biases = array_at(biases_);
    return hold(cpu_quantized_pack(weight, scales, biases, k, group, bits, S));
  });
}

SHIM_EXPORT Handle op_cpu_float_pack(Handle weight_, Handle scales_, int32_t k, int32_t group) {
  return guard([&]() -> Handle {
    const mx::array& weight = array_at(weight_);
    const mx::array& scales = array_at(scales_);
    return hold(cpu_float_pack(weight, scales, k, group, S));
  });
}

SHIM_EXPORT Handle op_cpu_quantized_rows(Handle packed_, Handle ids_, int32_t k, int32_t group, int32_t bits) {
  return guard([&]() -> Handle {
    const mx::array& packed = array_at(packed_);
    const mx::array& ids = array_at(ids_);
    return hold(cpu_quantized_rows(packed, ids, k, group, bits, S));
  });
}

SHIM_EXPORT Handle op_cpu_rms_norm(Handle x_, Handle weight_, double eps_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    std::optional<mx::array> weight = optional_at(weight_);
    float eps = static_cast<float>(eps_);
    return hold(cpu_rms_norm(x, weight, eps, S));
  });
}

SHIM_EXPORT Handle op_cpu_layer_norm(Handle x_, Handle weight_, Handle bias_, double eps_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    std::optional<mx::array> weight = optional_at(weight_);
    std::optional<mx::array> bias = optional_at(bias_);
    float eps = static_cast<float>(eps_);
    return hold(cpu_layer_norm(x, weight, bias, eps, S));
  });
}

SHIM_EXPORT Handle op_cpu_geglu(Handle gate_, Handle up_) {
  return guard([&]() -> Handle {
    const mx::array& gate = array_at(gate_);
    const mx::array& up = array_at(up_);
    return hold(cpu_geglu(gate, up, S));
  });
}

SHIM_EXPORT Handle op_cpu_gelu(Handle x_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    return hold(cpu_gelu(x, S));
  });
}

SHIM_EXPORT Handle op_cpu_attend_texts(Handle q_, Handle k_, Handle v_, const int32_t* lengths_, int32_t lengths_n, bool causal, double scale_) {
  return guard([&]() -> Handle {
    const mx::array& q = array_at(q_);
    const mx::array& k = array_at(k_);
    const mx::array& v = array_at(v_);
    std::vector<int> lengths(lengths_, lengths_ + lengths_n);
    float scale = static_cast<float>(scale_);
    return hold(cpu_attend_texts(q, k, v, lengths, causal, scale, S));
  });
}

SHIM_EXPORT Handle op_cpu_clipped_swiglu(Handle gate_, Handle up_) {
  return guard([&]() -> Handle {
    const mx::array& gate = array_at(gate_);
    const mx::array& up = array_at(up_);
    return hold(cpu_clipped_swiglu(gate, up, S));
  });
}

SHIM_EXPORT Handle op_cpu_swiglu(Handle gate_, Handle up_) {
  return guard([&]() -> Handle {
    const mx::array& gate = array_at(gate_);
    const mx::array& up = array_at(up_);
    return hold(cpu_swiglu(gate, up, S));
  });
}

SHIM_EXPORT Handle op_cpu_rope_table(Handle positions_, Handle freqs_, double scale_) {
  return guard([&]() -> Handle {
    const mx::array& positions = array_at(positions_);
    const mx::array& freqs = array_at(freqs_);
    float scale = static_cast<float>(scale_);
    return hold(cpu_rope_table(positions, freqs, scale, S));
  });
}

SHIM_EXPORT Handle op_cpu_rope(Handle x_, Handle table_, bool pairs) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& table = array_at(table_);
    return hold(cpu_rope(x, table, pairs, S));
  });
}

SHIM_EXPORT Handle op_cpu_argmax(Handle x_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    return hold(cpu_argmax(x, S));
  });
}

SHIM_EXPORT Handle op_cpu_top_k(Handle x_, int32_t k) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    return hold(cpu_top_k(x, k, S));
  });
}

SHIM_EXPORT Handle op_cpu_expert_plan(Handle chosen_, int32_t experts) {
  return guard([&]() -> Handle {
    const mx::array& chosen = array_at(chosen_);
    return hold(cpu_expert_plan(chosen, experts, S));
  });
}

SHIM_EXPORT Handle op_cpu_expert_spread(Handle x_, Handle plan_, int32_t experts) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& plan = array_at(plan_);
    return hold(cpu_expert_spread(x, plan, experts, S));
  });
}

SHIM_EXPORT Handle op_cpu_expert_combine(Handle y_, Handle plan_, Handle weights_, int32_t experts) {
  return guard([&]() -> Handle {
    const mx::array& y = array_at(y_);
    const mx::array& plan = array_at(plan_);
    const mx::array& weights = array_at(weights_);
    return hold(cpu_expert_combine(y, plan, weights, experts, S));
  });
}

SHIM_EXPORT Handle op_cpu_expert_linear(Handle x_, Handle packed_, Handle bias_, Handle plan_, int32_t experts, int32_t n) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& packed = array_at(packed_);
    std::optional<mx::array> bias = optional_at(bias_);
    std::optional<mx::array> plan = optional_at(plan_);
    return hold(cpu_expert_linear(x, packed, bias, plan, experts, n, S));
  });
}

SHIM_EXPORT Handle op_cpu_expert_quantized_linear(Handle x_, Handle packed_, Handle bias_, Handle plan_, int32_t experts, int32_t n, int32_t group, int32_t bits) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& packed = array_at(packed_);
    std::optional<mx::array> bias = optional_at(bias_);
    std::optional<mx::array> plan = optional_at(plan_);
    return hold(cpu_expert_quantized_linear(x, packed, bias, plan, experts, n, group, bits, S));
  });
}

SHIM_EXPORT Handle op_cpu_sample(Handle scores_, Handle params_) {
  return guard([&]() -> Handle {
    const mx::array& scores = array_at(scores_);
    const mx::array& params = array_at(params_);
    return hold(cpu_sample(scores, params, S));
  });
}

SHIM_EXPORT Handle op_cpu_shape(Handle scores_, Handle filters_, Handle exempt_) {
  return guard([&]() -> Handle {
    const mx::array& scores = array_at(scores_);
    const mx::array& filters = array_at(filters_);
    const mx::array& exempt = array_at(exempt_);
    return hold(cpu_shape(scores, filters, exempt, S));
  });
}

SHIM_EXPORT Handle op_cpu_mask(Handle scores_, Handle allowed_) {
  return guard([&]() -> Handle {
    const mx::array& scores = array_at(scores_);
    const mx::array& allowed = array_at(allowed_);
    return hold(cpu_mask(scores, allowed, S));
  });
}

SHIM_EXPORT Handle op_cpu_attend(Handle q_, Handle k_, Handle v_, Handle sinks_, const double* caches_, int32_t caches_n, const int32_t* plan_, int32_t plan_n, const int32_t* asked_, int32_t asked_n, int32_t value_dim, int32_t window, int32_t chunk, double scale_, double softcap_) {
  return guard([&]() -> Handle {
    const mx::array& q = array_at(q_);
    std::optional<mx::array> k = optional_at(k_);
    std::optional<mx::array> v = optional_at(v_);
    std::optional<mx::array> sinks = optional_at(sinks_);
    std::vector<mx::array> caches = arrays_at(caches_, caches_n);
    std::vector<int> plan(plan_, plan_ + plan_n);
    std::vector<int> asked(asked_, asked_ + asked_n);
    float scale = static_cast<float>(scale_);
    float softcap = static_cast<float>(softcap_);
    return hold(cpu_attend(q, k, v, sinks, caches, plan, asked, {value_dim, window, chunk, scale, softcap}, S));
  });
}

SHIM_EXPORT Handle op_cpu_export_tokens(const double* caches_, int32_t caches_n, int32_t row, int32_t start, int32_t count) {
  return guard([&]() -> Handle {
    std::vector<mx::array> caches = arrays_at(caches_, caches_n);
    return hold(cpu_export_tokens(caches, row, start, count, S));
  });
}

SHIM_EXPORT Handle op_cpu_import_tokens(const double* caches_, int32_t caches_n, const double* blocks_, int32_t blocks_n, int32_t row, int32_t start) {
  return guard([&]() -> Handle {
    std::vector<mx::array> caches = arrays_at(caches_, caches_n);
    std::vector<mx::array> blocks = arrays_at(blocks_, blocks_n);
    return hold(cpu_import_tokens(caches, blocks, row, start, S));
  });
}

SHIM_EXPORT Handle op_cpu_export_state(const double* states_, int32_t states_n, int32_t row) {
  return guard([&]() -> Handle {
    std::vector<mx::array> states = arrays_at(states_, states_n);
    return hold(cpu_export_state(states, row, S));
  });
}

SHIM_EXPORT Handle op_cpu_import_state(const double* states_, int32_t states_n, Handle state_, int32_t row) {
  return guard([&]() -> Handle {
    std::vector<mx::array> states = arrays_at(states_, states_n);
    const mx::array& state = array_at(state_);
    return hold(cpu_import_state(states, state, row, S));
  });
}

SHIM_EXPORT Handle op_cpu_convolve(Handle x_, Handle weight_, Handle bias_, const double* states_, int32_t states_n, const int32_t* plan_, int32_t plan_n, bool silu) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& weight = array_at(weight_);
    std::optional<mx::array> bias = optional_at(bias_);
    std::vector<mx::array> states = arrays_at(states_, states_n);
    std::vector<int> plan(plan_, plan_ + plan_n);
    return hold(cpu_convolve(x, weight, bias, states, plan, silu, S));
  });
}

SHIM_EXPORT Handle op_cpu_gated_delta(Handle x_, Handle a_, Handle b_, Handle decay_, Handle bias_, const double* states_, int32_t states_n, const int32_t* plan_, int32_t plan_n, int32_t keyHeads) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& a = array_at(a_);
    const mx::array& b = array_at(b_);
    const mx::array& decay = array_at(decay_);
    const mx::array& bias = array_at(bias_);
    std::vector<mx::array> states = arrays_at(states_, states_n);
    std::vector<int> plan(plan_, plan_ + plan_n);
    return hold(cpu_gated_delta(x, a, b, decay, bias, states, plan, keyHeads, S));
  });
}

SHIM_EXPORT Handle op_cpu_state_space(Handle x_, Handle dt_, Handle bias_, Handle decay_, Handle skip_, const double* states_, int32_t states_n, const int32_t* plan_, int32_t plan_n, double low_, double high_) {
  return guard([&]() -> Handle {
    const mx::array& x = array_at(x_);
    const mx::array& dt = array_at(dt_);
    const mx::array& bias = array_at(bias_);
    const mx::array& decay = array_at(decay_);
    const mx::array& skip = array_at(skip_);
    std::vector<mx::array> states = arrays_at(states_, states_n);
    std::vector<int> plan(plan_, plan_ + plan_n);
    float low = static_cast<float>(low_);
    float high = static_cast<float>(high_);
    return hold(cpu_state_space(x, dt, bias, decay, skip, states, plan, low, high, S));
  });
}

}

}  // namespace shim
