// y = W x + bias, and for each row what its adapter adds. All threads call `multiply` together; each makes
// neighbouring columns of y, so each streams a run of the matrix of its own.
#pragma once

#include "codes.h"
#include "threads.h"
#include "vectors.h"

static const int64_t MOST_PARTS = 3;

struct Matrix {
    const void* weight;    // (out, in), row by row; codes where there are four bits
    const float* scales;   // (out,) for int8, (out, in / block) for four bits
    const float* offsets;  // the same for int4
    const float* bias;     // (out,) or null
    int64_t kind, block;   // block: numbers with one scale: 32, 64 or 128, where there are four bits
    int64_t in, out;
    int64_t part_count, first_module;  // linear layers that are multiplied as one, and the index of the first
    int64_t ends[MOST_PARTS + 1];      // part p makes the columns ends[p] to ends[p + 1]
};

static inline bool has_codes(const Matrix& m) { return m.kind == NF4 || m.kind == INT4; }

static inline Blocks blocks_of(const Matrix& m) {
    return {m.kind == NF4 ? NF4_VALUES : INT4_VALUES, m.scales, m.offsets, __builtin_ctzll(m.block)};
}

// One linear layer's share of an adapter: A (rank, in); B in blocks of 16 columns, (out / 16, rank, 16).
struct Pair {
    const void *a, *b;
    const float* columns;  // (2, out) or null: what the layer's own output is multiplied by, and what is then added
    int64_t rank;          // 0: nothing is added by A and B
};

// Neighbouring rows with one adapter; `pairs` is indexed by module.
struct Use {
    const Pair* pairs;
    int64_t first, count;
    double scale;
};

struct Products {
    int64_t use_count, pair_kind, widest;  // widest: the highest rank of a use
    const Use* uses;
    float* low;       // (rows, parts, widest)
    uint16_t* packed; // (rows up to a multiple of 16, widest in)
    float* steps;     // (rows up to a multiple of 16,): of x in 16 bits, where weights have 8
    uint16_t* panels; // (threads, 32, widest in) where weights have four bits: rows of a matrix for tiles
};

// How a level's registers are shared between rows of a matrix and rows of x.
static const int MATRIX_ROWS = WIDTH == 16 ? 6 : 3, X_ROWS = 4;
static const int64_t SPAN = 1024;       // columns of a matrix that are multiplied at once: they stay in the first cache
static const int64_t NEAR_ROWS = 24;    // rows of a matrix that stay in the second while all rows of x pass
static const int64_t FEW_NEAR_ROWS = 12;  // where few rows of x pass, or each number is four bytes

// What a matrix of T is multiplied with: floats as they are; with weights of 8 bits, 16 and a step for each row.
template <typename T> struct Meets { typedef float x; typedef vec sums; };
template <> struct Meets<int8_t> { typedef int16_t x; typedef ivec sums; };

template <typename T> static const bool IS_INT8 = sizeof(typename Meets<T>::x) == 2;
template <typename T> static const bool IS_CODES = false;
template <int64_t STEP> const bool IS_CODES<codes<STEP>> = true;

// Rows of a matrix from `row` on and their columns from `column` on, as they are kept or dequantised beside.
template <typename T> struct Rows {
    const T* numbers;
    int64_t stride, row, column;
    int64_t at(int64_t o, int64_t c) const { return (o - row) * stride + c - column; }
};

// W rows of a matrix against R rows of x over some columns: made[row of the matrix][row of x]. Each sum is made in
// the same order whatever W and R are.
template <int W, int R, typename T>
static inline void dots(const T* w, const int64_t (&at)[W], const typename Meets<T>::x* x, int64_t in, int64_t count,
                        float (&made)[W][R]) {
    const int64_t step = sizeof(load(x)) / sizeof(*x);
    typename Meets<T>::sums sums[W][R] = {};
    int64_t i = 0;
    for (; i + step <= count; i += step) {
        decltype(load(w)) weights[W];
        for (int j = 0; j < W; j++) weights[j] = load(w + at[j] + i);
        for (int row = 0; row < R; row++) {
            const auto value = load(x + row * in + i);
            for (int j = 0; j < W; j++) sums[j][row] = add_product(sums[j][row], weights[j], value);
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < W; j++)
#pragma GCC unroll 8
        for (int row = 0; row < R; row++) made[j][row] = sum(sums[j][row]);
    if (i == count) return;
    for (int j = 0; j < W; j++)
        for (int row = 0; row < R; row++)
            for (int64_t k = i; k < count; k++) made[j][row] += (float)w[at[j] + k] * (float)x[row * in + k];
}

template <typename T>
static inline const typename Meets<T>::x* seen_by(const Products& p, const float* x) {
    if constexpr (IS_INT8<T>) return (const int16_t*)p.packed;
    else return x;
}

// Up to W rows of the matrix from `o` on, against R rows of x from `row` on, over a span of columns.
template <int W, int R, typename T>
static inline void multiply_block(const Matrix& m, const Products& p, const Rows<T>& w, const float* x, float* y, int64_t o,
                                  int64_t to, int64_t row, int64_t column) {
    const int64_t there = to - o < W ? to - o : W, left = m.in - column, count = left < SPAN ? left : SPAN;
    int64_t at[W];
    for (int j = 0; j < W; j++) at[j] = w.at(o + (j < there ? j : 0), column);
    float made[W][R];
    const auto seen = seen_by<T>(p, x) + row * m.in + column;
    if constexpr (IS_CODES<T>) dots<W, R>(w.numbers, blocks_of(m), at, seen, m.in, count, made);
    else dots<W, R>(w.numbers, at, seen, m.in, count, made);
    for (int r = 0; r < R; r++) {
        float* out = y + (row + r) * m.out + o;
        for (int64_t j = 0; j < there; j++) {
            const float total = column ? out[j] + made[j][r] : made[j][r];
            const float scale = IS_INT8<T> ? m.scales[o + j] * p.steps[row + r] : 1;
            if (count < left) out[j] = total;
            else out[j] = add_product(m.bias ? m.bias[o + j] : 0, total, scale);
        }
    }
}

template <int R, typename T>
static void multiply_near(const Matrix& m, const Products& p, const Rows<T>& w, const float* x, float* y, int64_t from,
                          int64_t to, int64_t row, int64_t column) {
    const int W = R == 1 ? 4 : MATRIX_ROWS;
    for (int64_t o = from; o < to; o += W) multiply_block<W, R>(m, p, w, x, y, o, to, row, column);
}

// Rows `from` to `to` of the matrix against all rows of x, over a span of columns.
template <typename T>
static void multiply_span(const Matrix& m, const Products& p, const Rows<T>& w, const float* x, float* y, int64_t rows,
                          int64_t from, int64_t to, int64_t column) {
    for (int64_t row = 0; row < rows; row += X_ROWS) switch (rows - row) {
        case 1: multiply_near<1>(m, p, w, x, y, from, to, row, column); break;
        case 2: multiply_near<2>(m, p, w, x, y, from, to, row, column); break;
        case 3: multiply_near<3>(m, p, w, x, y, from, to, row, column); break;
        default: multiply_near<4>(m, p, w, x, y, from, to, row, column);
    }
}

template <typename T>
static void multiply_rows(const Matrix& m, const Products& p, const float* x, float* y, int64_t rows, int64_t from,
                          int64_t to) {
    const Rows<T> w = {(const T*)m.weight, m.in, 0, 0};
    const int64_t near = rows > X_ROWS ? NEAR_ROWS : FEW_NEAR_ROWS;
    for (int64_t o = from; o < to; o += near) {
        const int64_t end = o + near < to ? o + near : to;
        for (int64_t column = 0; column < m.in; column += SPAN) multiply_span(m, p, w, x, y, rows, o, end, column);
    }
}

// Four bits: for more rows of x than registers hold, numbers are looked up once and kept near.
template <int64_t STEP>
static void multiply_codes(const Matrix& m, const Products& p, const float* x, float* y, int64_t rows, int64_t from,
                           int64_t to) {
    if (rows <= X_ROWS) return multiply_rows<codes<STEP>>(m, p, x, y, rows, from, to);
    alignas(64) float panel[FEW_NEAR_ROWS * SPAN];
    for (int64_t o = from; o < to; o += FEW_NEAR_ROWS) {
        const int64_t end = o + FEW_NEAR_ROWS < to ? o + FEW_NEAR_ROWS : to;
        for (int64_t column = 0; column < m.in; column += SPAN) {
            const int64_t left = m.in - column, count = left < SPAN ? left : SPAN;
            for (int64_t row = o; row < end; row++)
                dequantize(m.weight, blocks_of(m), row * m.in + column, count, panel + (row - o) * SPAN);
            multiply_span(m, p, Rows<float>{panel, SPAN, o, column}, x, y, rows, o, end, column);
        }
    }
}

static const int64_t LARGEST_STEP = 32512;  // 127 * 256

static float step_of(const float* x, int64_t in) {
    vec largest = {}, poison = {};
    for (int64_t i = 0; i < in; i += WIDTH) {
        const vec value = load_some(x + i, in - i), size = value < 0.0f ? -value : value;
        largest = size > largest ? size : largest;
        poison += value * 0.0f;
    }
    float most = 1e-30f + sum(poison);  // what is not a number stays none
    for (int i = 0; i < WIDTH; i++) most = largest[i] > most ? largest[i] : most;
    return most / LARGEST_STEP;
}

// x in 16 bits, row by row, a step for each row.
static void round_rows(const Matrix& m, const Products& p, const float* x, int64_t rows, int64_t thread,
                       int64_t threads) {
    for (int64_t row = thread; row < rows; row += threads) {
        const float* from = x + row * m.in;
        int16_t* to = (int16_t*)p.packed + row * m.in;
        const float step = p.steps[row] = step_of(from, m.in);
        for (int64_t i = 0; i < m.in; i += WIDTH) {
            const half_ivec made = __builtin_convertvector(nearest(load_some(from + i, m.in - i) * (1 / step)), half_ivec);
            memcpy(to + i, &made, (m.in - i < WIDTH ? m.in - i : WIDTH) * sizeof(int16_t));
        }
    }
}

static const int64_t FEW_ROWS = 4;  // of one adapter; more of them go through tiles where there are some

#if defined(__AMX_BF16__) || defined(REMORA_TEST_TILES)
#include "tiles.h"
#else
static inline bool has_tiles(const Matrix&, const Products&) { return false; }
static inline void pack_rows(const Matrix&, const Products&, const float*, int64_t, int64_t, int64_t) {}
static inline void multiply_tiles(const Matrix&, const Products&, float*, int64_t, int64_t, int64_t, int64_t) {}
static inline bool is_tiled(const Matrix&, const Products&, const Use&, const Pair&) { return false; }
static inline bool lower_tiles(const Matrix&, const Products&, int64_t, int64_t) { return false; }
#endif

static const int64_t TURN = 4;  // rows of an A

// low for up to TURN rows of A from `j` on, and R rows of x.
template <int R, typename T>
static inline void lower_block(const Matrix& m, const Products& p, const Pair& pair, const float* x, int64_t j, int64_t row,
                               int64_t part, float scale) {
    const int64_t there = pair.rank - j < TURN ? pair.rank - j : TURN;
    int64_t at[TURN];
    for (int i = 0; i < TURN; i++) at[i] = (j + (i < there ? i : 0)) * m.in;
    float made[TURN][R];
    dots<TURN, R>((const T*)pair.a, at, x + row * m.in, m.in, m.in, made);
    for (int r = 0; r < R; r++)
        for (int64_t i = 0; i < there; i++)
            p.low[((row + r) * MOST_PARTS + part) * p.widest + j + i] = made[i][r] * scale;
}

// low[row, part] = scale * A x. Threads share the rows of all A, four by four, each a run of neighbours.
template <typename T>
static void lower(const Matrix& m, const Products& p, const float* x, int64_t thread, int64_t threads) {
    int64_t turns = 0, turn = 0;
    for (int64_t u = 0; u < p.use_count; u++)
        for (int64_t part = 0; part < m.part_count; part++)
            turns += (p.uses[u].pairs[m.first_module + part].rank + TURN - 1) / TURN;
    const int64_t from = turns * thread / threads, to = turns * (thread + 1) / threads;
    for (int64_t u = 0; u < p.use_count; u++) {
        const Use& use = p.uses[u];
        const int64_t end = use.first + use.count;
        const float scale = (float)use.scale;
        for (int64_t part = 0; part < m.part_count; part++) {
            const Pair& pair = use.pairs[m.first_module + part];
            const bool elsewhere = is_tiled(m, p, use, pair);
            for (int64_t j = 0; j < pair.rank; j += TURN, turn++) {
                if (elsewhere || turn < from || turn >= to) continue;
                for (int64_t row = use.first; row < end;) {
                    if (end - row >= 3) lower_block<3, T>(m, p, pair, x, j, row, part, scale), row += 3;
                    else if (end - row == 2) lower_block<2, T>(m, p, pair, x, j, row, part, scale), row += 2;
                    else lower_block<1, T>(m, p, pair, x, j, row, part, scale), row += 1;
                }
            }
        }
    }
}

// 16 columns of R rows of y, or as many as there are.
template <int R, typename T>
static inline void raise_block(const T* b, int64_t rank, const float* low, int64_t low_stride, float* y,
                               int64_t y_stride, int64_t columns) {
    const int N = 16 / WIDTH;
    vec sums[R][N];
    for (int row = 0; row < R; row++)
        for (int i = 0; i < N; i++) sums[row][i] = load_some(y + row * y_stride + i * WIDTH, columns - i * WIDTH);
    for (int64_t j = 0; j < rank; j++) {
        vec value[N];
        for (int i = 0; i < N; i++) value[i] = load(b + j * 16 + i * WIDTH);
        for (int row = 0; row < R; row++)
            for (int i = 0; i < N; i++) sums[row][i] += value[i] * low[row * low_stride + j];
    }
    for (int row = 0; row < R; row++)
        for (int i = 0; i < N; i++) store_some(y + row * y_stride + i * WIDTH, sums[row][i], columns - i * WIDTH);
}

// y = gain y + offset for columns from..to of a part, which begins at `start`, in the rows of a use.
static inline void adjust(const Use& use, const float* gain, const float* offset, float* y, int64_t y_stride,
                          int64_t start, int64_t from, int64_t to) {
    for (int64_t row = use.first; row < use.first + use.count; row++)
        for (int64_t o = from; o < to; o++)
            y[row * y_stride + o] = y[row * y_stride + o] * gain[o - start] + offset[o - start];
}

// y += B low for columns from..to, which begin at a multiple of 16 within each part.
template <typename T>
static void raise(const Matrix& m, const Products& p, float* y, int64_t from, int64_t to) {
    const int64_t stride = MOST_PARTS * p.widest;
    for (int64_t u = 0; u < p.use_count; u++) {
        const Use& use = p.uses[u];
        for (int64_t part = 0; part < m.part_count; part++) {
            const Pair& pair = use.pairs[m.first_module + part];
            const int64_t start = m.ends[part], stop = m.ends[part + 1];
            // Another thread's part has no block for this one, its last, narrower one included.
            if (from >= stop || to <= start) continue;
            if (pair.columns)
                adjust(use, pair.columns, pair.columns + stop - start, y, m.out, start, from > start ? from : start,
                       to < stop ? to : stop);
            if (!pair.rank) continue;
            const int64_t first = from > start ? (from - start) / 16 : 0;
            for (int64_t block = first; start + block * 16 < (to < stop ? to : stop); block++) {
                const T* b = (const T*)pair.b + block * pair.rank * 16;
                const int64_t o = start + block * 16, columns = stop - o < 16 ? stop - o : 16;
                for (int64_t row = use.first; row < use.first + use.count;) {
                    const float* low = p.low + row * stride + part * p.widest;
                    float* out = y + row * m.out + o;
                    const int64_t left = use.first + use.count - row;
                    if (left >= 4) raise_block<4>(b, pair.rank, low, stride, out, m.out, columns), row += 4;
                    else if (left >= 2) raise_block<2>(b, pair.rank, low, stride, out, m.out, columns), row += 2;
                    else raise_block<1>(b, pair.rank, low, stride, out, m.out, columns), row += 1;
                }
            }
        }
    }
}

// Where a thread's share of the columns begins: at a multiple of 16 in its part, where a block of B begins.
static inline int64_t share(const Matrix& m, int64_t thread, int64_t threads) {
    if (thread == threads) return m.out;
    const int64_t at = m.out * thread / threads;
    int64_t part = m.part_count - 1;
    while (at < m.ends[part]) part--;
    return m.ends[part] + (at - m.ends[part]) / 16 * 16;
}

static void multiply(const Matrix& m, const Products& p, const float* x, float* y, int64_t rows, int64_t thread,
                     int64_t threads) {
    const bool tiles = has_tiles(m, p);
    if (p.pair_kind == BFLOAT16) lower<bf16>(m, p, x, thread, threads);
    else lower<float>(m, p, x, thread, threads);
    if (tiles) pack_rows(m, p, x, rows, thread, threads);
    else if (m.kind == INT8) round_rows(m, p, x, rows, thread, threads);
    if (tiles || m.kind == INT8 || p.use_count) wait_for_all();
    if (tiles && lower_tiles(m, p, thread, threads)) wait_for_all();
    const int64_t from = share(m, thread, threads), to = share(m, thread + 1, threads);
    if (tiles) multiply_tiles(m, p, y, rows, from, to, thread);
    else if (m.kind == BFLOAT16) multiply_rows<bf16>(m, p, x, y, rows, from, to);
    else if (m.kind == INT8) multiply_rows<int8_t>(m, p, x, y, rows, from, to);
    else if (has_codes(m) && m.block % 64) multiply_codes<32>(m, p, x, y, rows, from, to);
    else if (has_codes(m)) multiply_codes<64>(m, p, x, y, rows, from, to);
    else multiply_rows<float>(m, p, x, y, rows, from, to);
    if (p.pair_kind == BFLOAT16) raise<bf16>(m, p, y, from, to);
    else raise<float>(m, p, y, from, to);
}
