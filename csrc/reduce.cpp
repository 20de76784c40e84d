#include "reduce.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <numeric>

#include "dispatch.hpp"
#include "execute.hpp"
#include "floating_point_state.hpp"
#include "threads.hpp"

namespace halfwave {
namespace {

// Adds rows of numbers pairwise in the order in which they come: level i holds a sum of 2^i of them, or nothing.
class PairwiseSums {
 public:
  explicit PairwiseSums(std::size_t width) : width_(width), rest_(width) {}

  void add(const double* values) {
    carry_.assign(values, values + width_);
    std::size_t level = 0;
    for (std::size_t n = count_++; n & 1; n >>= 1) add_to(carry_, level++);
    if (levels_.size() < (level + 1) * width_) levels_.resize((level + 1) * width_);
    std::copy(carry_.begin(), carry_.end(), levels_.begin() + std::ptrdiff_t(level * width_));
  }
  // What is left after the last of equal nodes.
  void add_rest(const double* values) { rest_.assign(values, values + width_); }
  const double* total() {
    carry_ = rest_;
    std::size_t level = 0;
    for (std::size_t n = count_; n; n >>= 1, ++level)
      if (n & 1) add_to(carry_, level);
    return carry_.data();
  }

 private:
  void add_to(std::vector<double>& sums, std::size_t level) const {
    for (std::size_t i = 0; i < width_; ++i) sums[i] += levels_[level * width_ + i];
  }

  std::size_t width_;
  std::vector<double> rest_, levels_, carry_;
  std::size_t count_ = 0;
};

std::size_t size_of(const Call& call) {
  return std::accumulate(call.shape, call.shape + call.dimensions, std::size_t(1), std::multiplies<>());
}

// Some of a call's dimensions, with `pointers` of its operands.
void select(Call& part, const Call& call, int pointers, const std::vector<bool>& axes, bool wanted) {
  part.dimensions = 0;
  for (int d = 0; d < call.dimensions; ++d) {
    if (axes[std::size_t(d)] != wanted) continue;
    part.shape[part.dimensions] = call.shape[d];
    std::copy_n(call.strides[d], pointers, part.strides[part.dimensions++]);
  }
  if (part.dimensions == 0) {
    part.dimensions = 1;
    part.shape[0] = 1;
    std::fill_n(part.strides[0], pointers, std::ptrdiff_t(0));
  }
  std::copy_n(call.operands, pointers, part.operands);
}

// Sums over the rows of columns. What is kept is a column each; some columns that lie side by side are summed at a time.
class ColumnSums {
 public:
  ColumnSums(const Call& call, const std::vector<bool>& summed, int output, bool stored)
      : operands_(call.operation.operands() - (stored ? 0 : call.operation.outputs)),
        output_(output),
        stored_(stored),
        rows_(call.operation, call.storage),
        kept_(call.operation, call.storage) {
    select(rows_, call, operands_, summed, true);
    simplify(rows_, operands_);
    select(kept_, call, operands_, summed, false);
    count_ = size_of(kept_);
    total_ = size_of(rows_);
    std::ptrdiff_t stride = sizeof(double);  // of the sums, which are one more operand
    for (int d = kept_.dimensions - 1; d >= 0; --d) {
      kept_.strides[d][operands_] = stride;
      stride *= std::ptrdiff_t(kept_.shape[d]);
    }
    choose_width();
    // Whole groups of chunks are nodes of the tree, so that it does not matter how large they are.
    while (group_ < most_chunks && group_ * sum_chunk * width_ < task_size) group_ *= 2;
    groups_ = std::max<std::size_t>(1, (total_ + group_ * sum_chunk - 1) / (group_ * sum_chunk));
  }

  void operator()(double* totals) {
    if (count_ == 0) return;
    std::vector<double> nodes;
    if (groups_ > 1) nodes.resize(count_ * groups_);
    double* to = groups_ > 1 ? nodes.data() : totals;
    kept_.operands[operands_] = reinterpret_cast<char*>(to);
    const std::size_t units = size_of(kept_) * blocks_ * groups_;
    const std::size_t size = std::max<std::size_t>(1, std::min(total_, group_ * sum_chunk) * width_);
    const std::size_t units_per_task = std::max<std::size_t>(1, task_size / size);
    parallel((units + units_per_task - 1) / units_per_task, [&](std::size_t task) {
      const FloatingPointState state;
      for (std::size_t u = task * units_per_task; u < std::min(units, (task + 1) * units_per_task); ++u) sum_unit(u);
    });
    if (groups_ == 1) return;

    const FloatingPointState state;
    PairwiseSums sums(count_);
    for (std::size_t g = 0; g < groups_; ++g) {
      const double* node = nodes.data() + g * count_;
      (g + 1) * group_* sum_chunk <= total_ ? sums.add(node) : sums.add_rest(node);
    }
    std::copy_n(sums.total(), count_, totals);
  }

 private:
  static constexpr std::size_t task_size = 65536;  // elements
  static constexpr std::size_t most_chunks = 64;
  static constexpr std::size_t most_columns = sum_chunk;
  static constexpr std::size_t few_columns = 256;
  static constexpr std::size_t least_columns = 16;

  std::ptrdiff_t reach(const std::ptrdiff_t* strides) const {
    std::ptrdiff_t sum = 0;
    for (int k = 0; k < operands_; ++k) sum += std::abs(strides[k]);
    return sum;
  }

  // Takes the axis on which columns lie side by side, if they lie nearer to each other than rows, out of those kept.
  void choose_width() {
    int nearest = kept_.dimensions - 1;
    for (int d = nearest - 1; d >= 0; --d)
      if (kept_.shape[d] >= least_columns && reach(kept_.strides[d]) < reach(kept_.strides[nearest])) nearest = d;
    columns_ = 1;
    std::fill_n(column_strides_, operands_ + 1, std::ptrdiff_t(0));
    const std::size_t length = kept_.shape[nearest];
    const bool far = total_ > 1 && reach(rows_.strides[rows_.dimensions - 1]) <= reach(kept_.strides[nearest]);
    if (length < least_columns || far) return;
    columns_ = length;
    width_ = std::min(length, most_columns);
    while (width_ > few_columns && !suffices_for_threads()) width_ /= 2;
    blocks_ = (length + width_ - 1) / width_;
    std::copy_n(kept_.strides[nearest], operands_ + 1, column_strides_);
    kept_.shape[nearest] = 1;
  }

  // Whole rows are faster, where there are enough of them for each thread to have a part.
  bool suffices_for_threads() const {
    const std::size_t threads = std::size_t(thread_count());
    const std::size_t chunks = (total_ + sum_chunk - 1) / sum_chunk, blocks = (columns_ + width_ - 1) / width_;
    return threads == 1 || chunks * blocks >= 2 * threads;
  }

  void sum_unit(std::size_t unit) const {
    const std::size_t group = unit % groups_, block = unit / groups_ % blocks_, index = unit / groups_ / blocks_;
    const std::size_t first_column = block * width_;
    Tile tile;
    tile.columns = std::min(width_, columns_ - first_column);
    tile.output = output_;
    tile.stored = stored_;
    const std::ptrdiff_t* row_strides = rows_.strides[rows_.dimensions - 1];
    std::copy_n(row_strides, operands_, tile.row_strides);
    std::copy_n(column_strides_, operands_, tile.column_strides);

    Call rows = rows_;
    char* sums_at = nullptr;
    for_each_row(kept_, operands_ + 1, index, index + 1, [&](char* const* row, std::size_t first, std::size_t) {
      const auto at = [&](int k) {
        return row[k] + std::ptrdiff_t(first) * kept_.strides[kept_.dimensions - 1][k] +
               std::ptrdiff_t(first_column) * column_strides_[k];
      };
      for (int k = 0; k < operands_; ++k) rows.operands[k] = at(k);
      sums_at = at(operands_) + std::ptrdiff_t(group * count_ * sizeof(double));
    });
    const double* sums = sum_rows(rows, tile, group * group_ * sum_chunk, (group + 1) * group_ * sum_chunk);
    for (std::size_t c = 0; c < tile.columns; ++c)
      *reinterpret_cast<double*>(sums_at + std::ptrdiff_t(c) * column_strides_[operands_]) = sums[c];
  }

  // The sums of the rows [begin, end), as far as there are such.
  const double* sum_rows(const Call& rows, Tile& tile, std::size_t begin, std::size_t end) const {
    const InstructionSet& set = current_instruction_set();
    thread_local std::vector<double> lanes, scratch;
    thread_local PairwiseSums sums(0);
    lanes.assign(sum_lanes * tile.columns, 0);
    sums = PairwiseSums(tile.columns);
    end = std::min(end, total_);
    if (begin >= end) return sums.total();
    const std::size_t most_rows = tile.columns == 1 ? sum_chunk : halfwave::sum_rows;
    scratch.resize(std::max(scratch.size(), std::min(total_, most_rows) * tile.columns));
    tile.scratch = scratch.data();
    std::size_t filled = 0;
    const auto flush = [&] {
      if (filled == 0) return;
      for (std::size_t half = sum_lanes / 2 * tile.columns; half >= tile.columns; half /= 2)
        for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
      sums.add(lanes.data());
      std::fill(lanes.begin(), lanes.end(), 0.0);
      filled = 0;
    };
    for_each_row(rows, operands_, begin, end, [&](char* const* row, std::size_t first, std::size_t length) {
      for (const std::size_t stop = first + length; first < stop; first += tile.rows) {
        tile.rows = std::min(stop - first, sum_chunk - filled);
        tile.first_row = filled;
        for (int k = 0; k < operands_; ++k) tile.operands[k] = row[k] + std::ptrdiff_t(first) * tile.row_strides[k];
        set.run_and_sum(rows.operation, rows.storage, tile, lanes.data());
        filled += tile.rows;
        if (filled == sum_chunk) flush();
      }
    });
    flush();
    return sums.total();
  }

  int operands_, output_;
  bool stored_;
  Call rows_, kept_;
  std::size_t count_, total_;
  std::size_t columns_ = 1, width_ = 1, blocks_ = 1;
  std::size_t group_ = 1, groups_ = 1;
  std::ptrdiff_t column_strides_[max_operands + 1];
};

}  // namespace

void sum_terms(const Operation& op, Storage storage, const std::vector<PyArrayObject*>& operands,
               const std::vector<bool>& summed, int output, double* totals) {
  Call call(op, storage);
  call.dimensions = int(summed.size());
  for (std::size_t k = 0; k < operands.size(); ++k) {
    call.operands[k] = PyArray_BYTES(operands[k]);
    for (int d = 0; d < call.dimensions; ++d) {
      call.shape[d] = std::size_t(PyArray_DIM(operands[k], d));
      call.strides[d][k] = PyArray_STRIDE(operands[k], d);
    }
  }
  ColumnSums(call, summed, output, false)(totals);
}

void execute_and_sum(const Call& call, const std::vector<bool>& summed, double* totals) {
  ColumnSums(call, summed, 0, true)(totals);
}

}  // namespace halfwave
