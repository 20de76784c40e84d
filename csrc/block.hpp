// From an activation's struct to its operations, and from an operation to functions over contiguous memory.
#pragma once

#include <utility>

#include "activations/list.hpp"
#include "integers.hpp"
#include "narrow.hpp"
#include "table.hpp"

namespace halfwave {
namespace {

// ---- Operations: what each role asks of an activation's struct -------------------------------------------------------

// f(x[0], x[1], …) for the first n elements of x.
template <class V, class F, size_t... i>
HALFWAVE_INLINE auto apply_each(F f, const V* x, std::index_sequence<i...>) {
  return f(x[i]...);
}
template <size_t n, class V, class F>
HALFWAVE_INLINE auto apply(F f, const V* x) {
  return apply_each(f, x, std::make_index_sequence<n>{});
}

template <class A>
constexpr int unroll_of() {
  if constexpr (requires { A::unroll; })
    return A::unroll;
  else
    return 2;
}

// How far, in units in the last place, a float result may be on the wrong side of a midpoint; -1: none is.
constexpr int margin_of(Bound bound) { return bound.f32 == 0 || bound.decides_16_bits ? -1 : int(bound.f32); }

template <class A, int data_, int outputs_>
struct OperationOf {
  static constexpr int data = data_;
  static constexpr int parameters = A::info.parameter_count();
  static constexpr int operands = data + parameters;
  static constexpr int outputs = outputs_;
  static constexpr int unroll = unroll_of<A>();
};

template <class A>
struct Forward : OperationOf<A, A::info.data(), 1> {
  static constexpr int factors = A::info.gated ? 0b10 : 0;
  static constexpr int margin = margin_of(A::info.forward);
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<Forward::operands>([](auto... v) HALFWAVE_INLINE_LAMBDA { return A::forward(v...); }, in);
  }
};

template <class A>
struct Backward : OperationOf<A, 2, 1> {
  static constexpr int factors = 0b01;
  static constexpr int margin = margin_of(A::info.backward);
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<Backward::operands>([](auto... v) HALFWAVE_INLINE_LAMBDA { return A::backward(v...); }, in);
  }
};

template <class A>
struct BackwardFromOutput : OperationOf<A, 2, 1> {
  static constexpr int factors = 0b01;
  static constexpr int margin = margin_of(A::info.backward_from_output);
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<BackwardFromOutput::operands>(
        [](auto... v) HALFWAVE_INLINE_LAMBDA { return A::backward_from_output(v...); }, in);
  }
};

template <class A>
struct ParameterTerms : OperationOf<A, 2, A::info.parameter_count()> {
  static constexpr int factors = 0b01;
  static constexpr int margin = -1;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    apply<ParameterTerms::operands>([&](auto... v) HALFWAVE_INLINE_LAMBDA { A::parameter_terms(out, v...); }, in);
  }
};

template <class A>
struct BackwardGate : OperationOf<A, 3, 1> {
  static constexpr int factors = 0b101;
  static constexpr int margin = margin_of(A::info.backward);
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<BackwardGate::operands>([](auto... v) HALFWAVE_INLINE_LAMBDA { return A::backward_gate(v...); }, in);
  }
};

template <class A>
struct BackwardUp : OperationOf<A, 3, 1> {
  static constexpr int factors = 0b001;
  static constexpr int margin = margin_of(A::info.backward);
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<BackwardUp::operands>([](auto... v) HALFWAVE_INLINE_LAMBDA { return A::backward_up(v...); }, in);
  }
};

template <class A>
struct BackwardBoth : OperationOf<A, 3, 2> {
  static constexpr int factors = BackwardGate<A>::factors;
  static constexpr int margin = margin_of(A::info.backward);
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    BackwardGate<A>::compute(in, out);
    BackwardUp<A>::compute(in, out + 1);
  }
};

// ---- Blocks: one operation over contiguous memory ---------------------------------------------------------------------

template <class Op, class T, bool varying>
void block(const T* const* in, T* const* out, size_t n) {
  using V = Vec<T>;
  constexpr int loaded = varying ? Op::operands : Op::data;
  constexpr size_t group = V::lanes * Op::unroll;

  const T* source[loaded];
  T* target[Op::outputs];
  for (int k = 0; k < loaded; ++k) source[k] = in[k];
  for (int k = 0; k < Op::outputs; ++k) target[k] = out[k];
  V operands[Op::operands];
  for (int k = loaded; k < Op::operands; ++k) operands[k] = V(*in[k]);

  size_t i = 0;
  for (; i + group <= n; i += group) {
    V results[Op::unroll][Op::outputs];
    for (int u = 0; u < Op::unroll; ++u) {
      for (int k = 0; k < loaded; ++k) operands[k] = V::load(source[k] + i + u * V::lanes);
      Op::compute(operands, results[u]);
    }
    for (int u = 0; u < Op::unroll; ++u)
      for (int k = 0; k < Op::outputs; ++k) results[u][k].store(target[k] + i + u * V::lanes);
  }
  for (; i < n; i += V::lanes) {
    const size_t m = n - i < V::lanes ? n - i : V::lanes;
    V results[Op::outputs];
    for (int k = 0; k < loaded; ++k) operands[k] = V::load(source[k] + i, m);
    Op::compute(operands, results);
    for (int k = 0; k < Op::outputs; ++k) results[k].store(target[k] + i, m);
  }
}

template <class Op, class T>
constexpr Blocks<T> blocks() {
  if constexpr (Op::parameters == 0)
    return {block<Op, T, false>, block<Op, T, false>};
  else
    return {block<Op, T, false>, block<Op, T, true>};
}

template <class Op>
constexpr Operation operation() {
  return {Op::data,
          Op::parameters,
          Op::outputs,
          Op::factors,
          Op::margin,
          blocks<Op, float>(),
          blocks<Op, double>(),
          narrow_block<Op, Float16>,
          narrow_block<Op, BFloat16>};
}

template <class Op>
constexpr Operation operation_on_x = operation<Op>();

// The same on x + addend; a bias lies in memory like a parameter.
template <class Op, bool bias>
constexpr Operation operation_on_sum() {
  Operation o{};
  o.data = Op::data + !bias;
  o.parameters = Op::parameters + bias;
  o.outputs = Op::outputs;
  o.of_sum = &operation_on_x<Op>;
  return o;
}

template <class A, size_t... i>
constexpr bool has_parameter_terms(std::index_sequence<i...>) {
  return requires(Vec<float>* terms, Vec<float> v) { A::parameter_terms(terms, (static_cast<void>(i), v)...); };
}

template <class A>
constexpr Row row() {
  Row r{};
  const auto set = [&](Role role, Operation o) { r.operations[static_cast<int>(role)] = o; };
  set(Role::forward, operation<Forward<A>>());
  if constexpr (A::info.keeps_integers) r.operations[static_cast<int>(Role::forward)].integers = integer_blocks<A>;
  if constexpr (A::info.gated) {
    set(Role::backward, operation<BackwardBoth<A>>());
    set(Role::backward_gate, operation<BackwardGate<A>>());
    set(Role::backward_up, operation<BackwardUp<A>>());
  } else {
    set(Role::backward, operation<Backward<A>>());
    set(Role::forward_with_bias, operation_on_sum<Forward<A>, true>());
    set(Role::forward_with_residual, operation_on_sum<Forward<A>, false>());
    set(Role::backward_with_bias, operation_on_sum<Backward<A>, true>());
    set(Role::backward_with_residual, operation_on_sum<Backward<A>, false>());
    if constexpr (A::info.from_output != nullptr) set(Role::backward_from_output, operation<BackwardFromOutput<A>>());
    if constexpr (has_parameter_terms<A>(std::make_index_sequence<ParameterTerms<A>::operands>{}))
      set(Role::parameter_terms, operation<ParameterTerms<A>>());
  }
  return r;
}

template <class List>
struct Rows;
template <class... Activations>
struct Rows<activations::List<Activations...>> {
  static constexpr Row table[] = {row<Activations>()...};
};

}  // namespace
}  // namespace halfwave
