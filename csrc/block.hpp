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

constexpr Undecided undecided(Bound bound, Doubt doubt, int factors) {
  const bool midpoints = doubt == Doubt::at_midpoints || doubt == Doubt::at_normal_midpoints;
  Undecided r;
  const bool nearby = doubt == Doubt::near_midpoints || doubt == Doubt::near_normal_midpoints;
  r.margin = nearby ? int(bound.f32) : midpoints ? 0 : -1;
  r.subnormal = doubt == Doubt::near_midpoints || doubt == Doubt::at_midpoints;
  r.vanishing = doubt != Doubt::never && doubt != Doubt::not_rounded && factors != 0;
  r.exact = doubt == Doubt::never || doubt == Doubt::beyond_range ? Exact::there
            : doubt == Doubt::not_rounded                         ? Exact::kept
            : doubt == Doubt::exact_is_beyond                     ? Exact::beyond
            : doubt == Doubt::exact_is_before                     ? Exact::before
            : doubt == Doubt::exact_is_above                      ? Exact::above
            : doubt == Doubt::exact_is_off_half                   ? Exact::off_half
                                                                  : Exact::elsewhere;
  return r;
}
template <class Op>
constexpr Undecided undecided_f16 = undecided(Op::bound, Op::bound.float16, Op::factors);
template <class Op>
constexpr Undecided undecided_bf16 = undecided(Op::bound, Op::bound.bfloat16, Op::factors);

template <class A, int data_, int outputs_>
struct OperationOf {
  static constexpr int data = data_;
  static constexpr int parameters = A::info.parameter_count();
  static constexpr int operands = data + parameters;
  static constexpr int outputs = outputs_;
  static constexpr int unroll = unroll_of<A>();
};

// The formula for all operands, a leaner one for parameters that are not `rare`, or one for results of 16 bits, in float.
enum class Form : uint8_t { general, ordinary, narrow };

// Which parameters are rare, where an activation has a leaner formula for all others.
template <class A, class V, size_t... i>
HALFWAVE_INLINE auto rare(const V* parameters, std::index_sequence<i...>) -> decltype(A::rare(parameters[i]...)) {
  return A::rare(parameters[i]...);
}

template <class A, Form form = Form::general>
struct Forward : OperationOf<A, A::info.data(), 1> {
  static constexpr int factors = A::info.gated ? 0b10 : 0;
  static constexpr Bound bound = A::info.forward;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<Forward::operands>(
        [](auto... v) HALFWAVE_INLINE_LAMBDA {
          if constexpr (form == Form::ordinary)
            return A::forward_ordinary(v...);
          else if constexpr (form == Form::narrow)
            return A::forward_narrow(v...);
          else
            return A::forward(v...);
        },
        in);
  }
};

template <class A, Form form = Form::general>
struct Backward : OperationOf<A, 2, 1> {
  static constexpr int factors = 0b01;
  static constexpr Bound bound = A::info.backward;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<Backward::operands>(
        [](auto... v) HALFWAVE_INLINE_LAMBDA {
          if constexpr (form == Form::ordinary)
            return A::backward_ordinary(v...);
          else if constexpr (form == Form::narrow)
            return A::backward_narrow(v...);
          else
            return A::backward(v...);
        },
        in);
  }
};

template <class A>
struct BackwardFromOutput : OperationOf<A, 2, 1> {
  static constexpr int factors = 0b01;
  static constexpr Bound bound = A::info.backward_from_output;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<BackwardFromOutput::operands>(
        [](auto... v) HALFWAVE_INLINE_LAMBDA { return A::backward_from_output(v...); }, in);
  }
};

template <class A>
struct ParameterTerms : OperationOf<A, 2, A::info.parameter_count()> {
  static constexpr int factors = 0b01;
  static constexpr Bound bound{};
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    apply<ParameterTerms::operands>([&](auto... v) HALFWAVE_INLINE_LAMBDA { A::parameter_terms(out, v...); }, in);
  }
};

template <class A, Form form = Form::general>
struct BackwardGate : OperationOf<A, 3, 1> {
  static constexpr int factors = 0b101;
  static constexpr Bound bound = A::info.backward;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<BackwardGate::operands>(
        [](auto... v) HALFWAVE_INLINE_LAMBDA {
          if constexpr (form == Form::narrow)
            return A::backward_gate_narrow(v...);
          else
            return A::backward_gate(v...);
        },
        in);
  }
};

template <class A, Form form = Form::general>
struct BackwardUp : OperationOf<A, 3, 1> {
  static constexpr int factors = 0b001;
  static constexpr Bound bound = A::info.backward;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<BackwardUp::operands>(
        [](auto... v) HALFWAVE_INLINE_LAMBDA {
          if constexpr (form == Form::narrow)
            return A::backward_up_narrow(v...);
          else
            return A::backward_up(v...);
        },
        in);
  }
};

template <class A, Form form = Form::general>
struct BackwardBoth : OperationOf<A, 3, 2> {
  static constexpr int factors = BackwardGate<A>::factors;
  static constexpr Bound bound = A::info.backward;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    apply<BackwardBoth::operands>(
        [&](auto... v) HALFWAVE_INLINE_LAMBDA {
          if constexpr (form == Form::ordinary)
            A::backward_ordinary(out, v...);
          else if constexpr (form == Form::narrow)
            A::backward_narrow(out, v...);
          else
            A::backward(out, v...);
        },
        in);
  }
};

// What computes the second derivative: the activation's struct, or what all piecewise linear ones share.
template <class A>
struct CurvatureOf {
  using Type = A;
};
template <class A>
  requires requires { typename A::Curvature; }
struct CurvatureOf<A> {
  using Type = typename A::Curvature;
};

template <class Curvature, int parameters_>
struct SecondDerivative {
  using Formula = Curvature;
  static constexpr int data = 1, parameters = parameters_, operands = 1 + parameters_, outputs = 1, factors = 0;
  static constexpr int unroll = 2;
  template <class V>
  static HALFWAVE_INLINE void compute(const V* in, V* out) {
    out[0] = apply<operands>([](auto... v) HALFWAVE_INLINE_LAMBDA { return Curvature::second_derivative(v...); }, in);
  }
};

// ---- Blocks: one operation over contiguous memory ---------------------------------------------------------------------

// How many of n elements come before the first vector that does not reach into a second line of the cache: stores that do
// cost a tenth of the speed. 0 where that is not worth a step of its own.
template <class V>
HALFWAVE_INLINE size_t elements_to_alignment(const void* to, size_t n, bool streaming) {
  constexpr size_t size = sizeof(V);
  const size_t worthwhile = streaming ? 4 : 16;
  const size_t missing = (size - reinterpret_cast<uintptr_t>(to) % size) % size;
  return n < worthwhile * V::lanes ? 0 : missing / sizeof(typename V::Scalar);
}

// An operand k of a kernel's loop. GCC, which takes a load for cheap, would read it anew for each of its uses; what is in a
// register it leaves there. Where registers are few only the last of several operands is worth one, for it is what selects
// the piece of a function; of one operand a use in memory saves an instruction.
template <class Op, class V>
HALFWAVE_INLINE V loaded_in_loop(const typename V::Scalar* from, int k) {
  const V v = V::load(from);
  return V::has_many_registers || (Op::data > 1 && k == Op::data - 1) ? v.in_register() : v;
}

template <template <class, Form> class Op, class A, Form form, class V>
  requires(form != Form::ordinary) &&
          requires(const V* p) { rare<A>(p, std::make_index_sequence<A::info.parameter_count()>{}); }
struct Lean<Op<A, form>, V> {
  using Type = Op<A, Form::ordinary>;
  static HALFWAVE_INLINE bool suits(const V* parameters) {
    return !any(rare<A>(parameters, std::make_index_sequence<A::info.parameter_count()>{}));
  }
};

// Where vectors have one lane, an operation that is not light gains nothing from unrolling or from a kernel of its own for 16
// bits: the calls of fma outweigh the rest.
template <class Op>
constexpr bool is_unrolled = Vec<float>::lanes > 1 || Op::unroll > 2;

template <class Op, class T, bool varying>
void block(const T* const* in, T* const* out, size_t n, bool streaming) {
  using V = Vec<T>;
  constexpr int loaded = varying ? Op::operands : Op::data;
  constexpr int unroll = is_unrolled<Op> ? Op::unroll : 1;
  constexpr size_t group = V::lanes * unroll;

  const T* source[loaded];
  T* target[Op::outputs];
  for (int k = 0; k < loaded; ++k) source[k] = in[k];
  for (int k = 0; k < Op::outputs; ++k) target[k] = out[k];
  V operands[Op::operands];
  for (int k = loaded; k < Op::operands; ++k) operands[k] = V(*in[k]);
  if constexpr (!varying && requires { typename Lean<Op, V>::Type; })
    if (Lean<Op, V>::suits(operands + loaded))
      return block<typename Lean<Op, V>::Type, T, false>(in, out, n, streaming);

  // A part of a vector, whole groups, and again parts, or single vectors, of what is left.
  size_t i = 0, part = elements_to_alignment<V>(target[0], n, streaming);
  for (int k = 0; k < Op::outputs; ++k) streaming &= reinterpret_cast<uintptr_t>(target[k] + part) % sizeof(V) == 0;
  if constexpr (V::lanes == 1) streaming = false;
  do {
    if (group > 1 && part) {
      V results[Op::outputs];
      for (int k = 0; k < loaded; ++k) operands[k] = V::load(source[k] + i, part);
      Op::compute(operands, results);
      for (int k = 0; k < Op::outputs; ++k) results[k].store(target[k] + i, part);
      i += part;
    }
    for (; i + group <= n; i += group) {
      V results[unroll][Op::outputs];
      if (streaming)
        for (int k = 0; k < loaded; ++k)
          for (size_t j = 0; j < group; j += line / sizeof(T)) prefetch_ahead(source[k] + i + j);
      for (int u = 0; u < unroll; ++u) {
        for (int k = 0; k < loaded; ++k) operands[k] = loaded_in_loop<Op, V>(source[k] + i + u * V::lanes, k);
        Op::compute(operands, results[u]);
      }
      const auto each_result = [&](auto put) HALFWAVE_INLINE_LAMBDA {
        for (int u = 0; u < unroll; ++u)
          for (int k = 0; k < Op::outputs; ++k) put(results[u][k], target[k] + i + u * V::lanes);
      };
      if (streaming)
        each_result([](V result, T* to) HALFWAVE_INLINE_LAMBDA { result.stream(to); });
      else
        each_result([](V result, T* to) HALFWAVE_INLINE_LAMBDA { result.store(to); });
    }
    part = n - i < V::lanes ? n - i : V::lanes;
  } while (i < n);
}

template <class Op, class T>
constexpr Blocks<T> blocks() {
  if constexpr (Op::parameters == 0)
    return {{block<Op, T, false>}, {block<Op, T, false>}};
  else
    return {{block<Op, T, false>}, {block<Op, T, true>}};
}

// The form of an operation that gives results of 16 bits.
template <class A, size_t... i>
constexpr bool has_narrow_forward(std::index_sequence<i...>) {
  return requires(Vec<float> v) { A::forward_narrow((static_cast<void>(i), v)...); };
}
template <class A, size_t... i>
constexpr bool has_narrow_backward(std::index_sequence<i...>) {
  return requires(Vec<float> v) { A::backward_narrow((static_cast<void>(i), v)...); };
}
template <class Op>
struct NarrowForm {
  using Type = Op;
};
template <class A>
  requires(has_narrow_forward<A>(std::make_index_sequence<Forward<A>::operands>{}))
struct NarrowForm<Forward<A>> {
  using Type = Forward<A, Form::narrow>;
};
template <class A>
  requires(has_narrow_backward<A>(std::make_index_sequence<Backward<A>::operands>{}))
struct NarrowForm<Backward<A>> {
  using Type = Backward<A, Form::narrow>;
};

template <template <class, Form> class Op, class A>
  requires(Op<A, Form::general>::data == 3 && requires { requires A::has_narrow_gradients; })
struct NarrowForm<Op<A, Form::general>> {
  using Type = Op<A, Form::narrow>;
};

template <class Op, class Format, Undecided undecided>
constexpr NarrowKernel narrow_kernel() {
  using Used = typename NarrowForm<Op>::Type;
  NarrowKernel kernel{narrow_block_in_float<Format>, Rounding<Format, undecided>::round, blocks<Used, float>()};
  if constexpr (is_unrolled<Op>) kernel.block = narrow_block<Used, Format, undecided>;
  return kernel;
}

template <class Op>
constexpr Operation operation() {
  return {Op::data,
          Op::parameters,
          Op::outputs,
          Op::factors,
          blocks<Op, float>(),
          blocks<Op, double>(),
          narrow_kernel<Op, Float16, undecided_f16<Op>>(),
          narrow_kernel<Op, BFloat16, undecided_bf16<Op>>()};
}

// Floats by way of doubles: nearly always correctly rounded, and no kernel more.
template <class Op, bool varying>
void block_in_double(const float* const* in, float* const* out, size_t n, bool) {
  alignas(64) double wide[Op::operands][chunk], result[chunk];
  const double* from[Op::operands];
  double* const to[] = {result};
  for (int k = 0; k < Op::operands; ++k) from[k] = wide[k];
  for (size_t i = 0; i < n; i += chunk) {
    const size_t m = n - i < chunk ? n - i : chunk;
    for (int k = 0; k < Op::operands; ++k) {
      const bool one = k >= Op::data && !varying;
      for (size_t j = 0; j < (one ? 1 : m); ++j) wide[k][j] = in[k][one ? j : i + j];
    }
    block<Op, double, varying>(from, to, m, false);
    for (size_t j = 0; j < m; ++j) out[0][i + j] = float(result[j]);
  }
}

template <class Op, size_t... i>
constexpr bool is_computed_in_float(std::index_sequence<i...>) {
  return requires(Vec<float> v) { Op::Formula::second_derivative((static_cast<void>(i), v)...); };
}

template <class A>
constexpr bool shares_curvature = requires { typename A::Curvature; };

// Those of which more than two vectors are computed at a time: loads and stores take most of their time.
template <class A>
constexpr bool is_light = unroll_of<A>() > 2;

// 16-bit results are made of its floats, no kernel more, but where many activations share one, or the detour would show.
template <class A>
constexpr Operation second_derivative() {
  using Op = SecondDerivative<typename CurvatureOf<A>::Type, A::info.parameter_count()>;
  constexpr Bound bound = A::info.second_derivative;
  constexpr bool varying = Op::parameters != 0;
  constexpr Undecided of_float16 = undecided(bound, bound.float16, 0),
                      of_bfloat16 = undecided(bound, bound.bfloat16, 0);
  Operation o{Op::data, Op::parameters, Op::outputs};
  o.f64 = blocks<Op, double>();
  if constexpr (is_computed_in_float<Op>(std::make_index_sequence<Op::operands>{}))
    o.f32 = blocks<Op, float>();
  else
    o.f32 = {{block_in_double<Op, false>}, {block_in_double<Op, varying>}};
  if constexpr (shares_curvature<A> || is_light<A>) {
    o.f16 = narrow_kernel<Op, Float16, of_float16>();
    o.bf16 = narrow_kernel<Op, BFloat16, of_bfloat16>();
  } else {
    o.f16 = {narrow_block_in_float<Float16>, Rounding<Float16, of_float16>::round, o.f32};
    o.bf16 = {narrow_block_in_float<BFloat16>, Rounding<BFloat16, of_bfloat16>::round, o.f32};
  }
  return o;
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
    set(Role::second_derivative, second_derivative<A>());
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
