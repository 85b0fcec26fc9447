// 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3) (Winograd 1980; Lavin and Gray 2016): 36 products for 16
// pixels where the definition has 144. Channels last: the transforms run over eight channels at a time, and each of the
// 36 positions of a tile becomes one ordinary matrix product.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

constexpr int TILE = 4, SIDE = 6, AREA = SIDE * SIDE;   // outputs on a side, inputs on a side, positions
constexpr int64_t CHUNK_BYTES = 16 << 20;               // of transformed tiles at a time: what a cache may hold

template <class T>
struct Lanes {
  typedef T type __attribute__((vector_size(32)));
  static constexpr int64_t count = 32 / sizeof(T);
};

template <class T>
inline typename Lanes<T>::type load(const T* p) {
  typename Lanes<T>::type v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

template <class T>
inline void store(T* p, typename Lanes<T>::type v) {
  std::memcpy(p, &v, sizeof(v));
}

// B^T d, of six values: what the inputs of a row become.
template <class V>
inline void inputs_1d(const V* d, V* t) {
  t[0] = 4 * d[0] - 5 * d[2] + d[4];
  const V a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = 2 * (d[3] - d[1]);
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + e;
  t[4] = c - e;
  t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

// A^T m, of six values: the four outputs of a row.
template <class V>
inline void outputs_1d(const V* m, V* y) {
  const V s = m[1] + m[2], d = m[1] - m[2], u = m[3] + m[4], v = m[3] - m[4];
  y[0] = m[0] + s + u;
  y[1] = d + 2 * v;
  y[2] = s + 4 * u;
  y[3] = d + 8 * v + m[5];
}

// A g, of four values: the adjoint of outputs_1d, for the gradient of the weight.
template <class V>
inline void gradients_1d(const V* g, V* t) {
  const V even = g[0] + g[2], odd = g[1] + g[3], far = g[0] + 4 * g[2], away = 2 * g[1] + 8 * g[3];
  t[0] = g[0];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = far + away;
  t[4] = far - away;
  t[5] = g[3];
}

struct Grid {                                            // tiles over pictures whose convolution has rows x columns
  int64_t n, rows, columns, down, across;
  Grid(int64_t n, int64_t rows, int64_t columns)
      : n(n), rows(rows), columns(columns), down((rows + TILE - 1) / TILE), across((columns + TILE - 1) / TILE) {}
  int64_t tiles() const { return n * down * across; }
  void place(int64_t tile, int64_t& sample, int64_t& top, int64_t& left) const {
    sample = tile / (down * across);
    top = tile / across % down * TILE;
    left = tile % across * TILE;
  }
};

// Squares of `size` pixels of x [N, H, W, C], transformed to [AREA, tiles, C]; outside of the picture is zero.
template <class T, int size, void (*transform)(const typename Lanes<T>::type*, typename Lanes<T>::type*)>
void spread(const T* x, int64_t height, int64_t width, int64_t channels, const Grid& grid, int64_t shift, int64_t begin,
            int64_t end, int64_t plane, T* out) {
  using V = typename Lanes<T>::type;
  const std::vector<T> zeros(channels, T(0));
  at::parallel_for(0, end - begin, 8, [&](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) {
      int64_t sample, top, left;
      grid.place(begin + t, sample, top, left);
      const T* at[size][size];
      for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) {
          const int64_t r = top + i - shift, c = left + j - shift;
          const bool inside = r >= 0 && r < height && c >= 0 && c < width;
          at[i][j] = inside ? x + ((sample * height + r) * width + c) * channels : zeros.data();
        }
      for (int64_t c = 0; c < channels; c += Lanes<T>::count) {
        V half[SIDE][size], column[size], done[SIDE];
        for (int j = 0; j < size; ++j) {
          for (int i = 0; i < size; ++i) column[i] = load(at[i][j] + c);
          transform(column, done);
          for (int i = 0; i < SIDE; ++i) half[i][j] = done[i];
        }
        for (int i = 0; i < SIDE; ++i) {
          transform(half[i], done);
          for (int j = 0; j < SIDE; ++j) store(out + (i * SIDE + j) * plane + t * channels + c, done[j]);
        }
      }
    }
  });
}

// [AREA, tiles, C] back to pixels of y [N, rows, columns, C].
template <class T>
void gather(const T* m, int64_t channels, const Grid& grid, int64_t begin, int64_t end, int64_t plane, T* y) {
  using V = typename Lanes<T>::type;
  at::parallel_for(0, end - begin, 8, [&](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) {
      int64_t sample, top, left;
      grid.place(begin + t, sample, top, left);
      const int64_t high = std::min<int64_t>(TILE, grid.rows - top), wide = std::min<int64_t>(TILE, grid.columns - left);
      for (int64_t c = 0; c < channels; c += Lanes<T>::count) {
        V half[TILE][SIDE], column[SIDE], done[TILE];
        for (int j = 0; j < SIDE; ++j) {
          for (int i = 0; i < SIDE; ++i) column[i] = load(m + (i * SIDE + j) * plane + t * channels + c);
          outputs_1d(column, done);
          for (int i = 0; i < TILE; ++i) half[i][j] = done[i];
        }
        for (int64_t i = 0; i < high; ++i) {
          outputs_1d(half[i], done);
          for (int64_t j = 0; j < wide; ++j)
            store(y + ((sample * grid.rows + top + i) * grid.columns + left + j) * channels + c, done[j]);
        }
      }
    }
  });
}

// The 36 x 9 matrix that turns a 3x3 weight into its tile: G (x) G.
at::Tensor weight_matrix(const at::TensorOptions& options) {
  const auto rows = at::tensor({1. / 4, 0., 0., -1. / 6, -1. / 6, -1. / 6, -1. / 6, 1. / 6, -1. / 6, 1. / 24, 1. / 12,
                                1. / 6, 1. / 24, -1. / 12, 1. / 6, 0., 0., 1.}, at::kDouble).reshape({SIDE, 3});
  return at::kron(rows, rows).to(options);
}

// Numbers from one position to the next: a little more than it takes, so that the 36 of a tile do not share one set of a cache.
int64_t stride(int64_t count, int64_t channels) { return (count * channels + 1023) / 1024 * 1024 + 16; }

int64_t chunk(const Grid& grid, int64_t channels, size_t bytes) {
  return std::clamp<int64_t>(CHUNK_BYTES / (AREA * channels * bytes), 32, std::max<int64_t>(32, grid.tiles()));
}

at::Tensor rows(const at::Tensor& all, int position, int64_t count, int64_t channels) {
  return all[position].narrow(0, 0, count * channels).view({count, channels});
}

void check(const at::Tensor& x, const at::Tensor& other, int64_t pad) {
  TORCH_CHECK(x.dim() == 4 && other.dim() == 4 && x.scalar_type() == other.scalar_type(), "two 4-d tensors of one type");
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble, "float32 or float64, not ", x.scalar_type());
  TORCH_CHECK(pad >= 0 && pad <= 2 && x.size(2) + 2 * pad >= 3 && x.size(3) + 2 * pad >= 3, "padding 0, 1 or 2");
  TORCH_CHECK(x.size(1) % 8 == 0, "channels in multiples of 8, not ", x.size(1));
}

// x [N, C, H, W], w [O, C, 3, 3] -> [N, O, H + 2 pad - 2, W + 2 pad - 2], in channels last. `turned` takes w [C, O, 3, 3]
// instead, and turns it by half a turn: then x is the gradient of an output, and this the gradient of its input.
at::Tensor conv3x3(const at::Tensor& x_, const at::Tensor& w, int64_t pad, bool turned) {
  check(x_, w, pad);
  TORCH_CHECK(w.size(!turned) == x_.size(1) && w.size(2) == 3 && w.size(3) == 3 && w.size(turned) % 8 == 0,
              "a 3x3 weight of ", x_.size(1), " channels");
  const auto x = x_.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t n = x.size(0), c = x.size(1), o = w.size(turned), h = x.size(2), wide = x.size(3);
  const Grid grid(n, h + 2 * pad - 2, wide + 2 * pad - 2);
  // The weight stays as it lies in memory: turning it is turning the nine columns, exchanging O and C a flag of the product.
  const auto matrix = weight_matrix(w.options());
  const auto u_all = at::mm(turned ? matrix.flip(1) : matrix, w.reshape({c * o, 9}).t()).reshape({AREA, w.size(0), w.size(1)});
  const auto u = turned ? u_all : u_all.transpose(1, 2);                                      // [AREA, C, O]
  auto y = at::empty({n, o, grid.rows, grid.columns}, x.options(), at::MemoryFormat::ChannelsLast);
  const int64_t most = chunk(grid, c + o, x.element_size());
  const auto v = at::empty({AREA, stride(std::min(most, grid.tiles()), c)}, x.options());
  const auto m = at::empty({AREA, stride(std::min(most, grid.tiles()), o)}, x.options());
  for (int64_t begin = 0; begin < grid.tiles(); begin += most) {
    const int64_t end = std::min(begin + most, grid.tiles()), count = end - begin;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "conv3x3", [&] {
      using V = Lanes<scalar_t>::type;
      spread<scalar_t, SIDE, inputs_1d<V>>(x.data_ptr<scalar_t>(), h, wide, c, grid, pad, begin, end, v.size(1),
                                          v.data_ptr<scalar_t>());
      for (int p = 0; p < AREA; ++p) {
        auto row = rows(m, p, count, o);
        at::mm_out(row, rows(v, p, count, c), u[p]);
      }
      gather<scalar_t>(m.data_ptr<scalar_t>(), o, grid, begin, end, m.size(1), y.data_ptr<scalar_t>());
    });
  }
  return y;
}

// The gradient of w: x [N, C, H, W] and the output's gradient g [N, O, ...] -> [O, C, 3, 3].
at::Tensor conv3x3_weight(const at::Tensor& x_, const at::Tensor& g_, int64_t pad) {
  check(x_, g_, pad);
  const auto x = x_.contiguous(at::MemoryFormat::ChannelsLast), g = g_.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t n = x.size(0), c = x.size(1), o = g.size(1), h = x.size(2), wide = x.size(3);
  const Grid grid(n, h + 2 * pad - 2, wide + 2 * pad - 2);
  TORCH_CHECK(g.size(0) == n && g.size(2) == grid.rows && g.size(3) == grid.columns && o % 8 == 0, "a gradient that fits");
  auto du = at::empty({AREA, o, c}, x.options());
  const int64_t most = std::max<int64_t>(chunk(grid, c + o, x.element_size()), std::min<int64_t>(512, grid.tiles()));
  const auto v = at::empty({AREA, stride(std::min(most, grid.tiles()), c)}, x.options());
  const auto m = at::empty({AREA, stride(std::min(most, grid.tiles()), o)}, x.options());
  for (int64_t begin = 0; begin < grid.tiles(); begin += most) {
    const int64_t end = std::min(begin + most, grid.tiles()), count = end - begin;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "conv3x3_weight", [&] {
      using V = Lanes<scalar_t>::type;
      spread<scalar_t, SIDE, inputs_1d<V>>(x.data_ptr<scalar_t>(), h, wide, c, grid, pad, begin, end, v.size(1),
                                          v.data_ptr<scalar_t>());
      spread<scalar_t, TILE, gradients_1d<V>>(g.data_ptr<scalar_t>(), grid.rows, grid.columns, o, grid, 0, begin, end,
                                              m.size(1), m.data_ptr<scalar_t>());
    });
    for (int p = 0; p < AREA; ++p) {
      auto row = du[p];
      const auto from = rows(m, p, count, o).t(), to = rows(v, p, count, c);
      if (begin) at::addmm_out(row, row, from, to);
      else at::mm_out(row, from, to);
    }
  }
  return at::mm(du.reshape({AREA, o * c}).t(), weight_matrix(x.options())).reshape({o, c, 3, 3});
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(sketchgan, m) {
  m.def("conv3x3(Tensor x, Tensor w, int pad, bool turned) -> Tensor");
  m.def("conv3x3_weight(Tensor x, Tensor g, int pad) -> Tensor");
}

TORCH_LIBRARY_IMPL(sketchgan, CPU, m) {
  m.impl("conv3x3", &conv3x3);
  m.impl("conv3x3_weight", &conv3x3_weight);
}
