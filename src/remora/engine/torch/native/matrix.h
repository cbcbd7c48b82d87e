// y = W x + bias, and for each row what its adapter adds. All threads call `multiply` together; each makes
// neighbouring columns of y, so each streams a run of the matrix of its own.
#pragma once

#include "vectors.h"

static const int64_t MOST_PARTS = 3;

struct Matrix {
    const void* weight;   // (out, in), row by row
    const float* scales;  // (out,) for int8
    const float* bias;    // (out,) or null
    int64_t kind, in, out;
    int64_t part_count, first_module;  // linear layers that are multiplied as one, and the index of the first
    int64_t ends[MOST_PARTS + 1];      // part p makes the columns ends[p] to ends[p + 1]
};

// One linear layer's share of an adapter: A (rank, in); B in blocks of 16 columns, (out / 16, rank, 16).
struct Pair {
    const void *a, *b;
    int64_t rank;  // 0: the adapter leaves this layer alone
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
};

// One or two rows of a matrix against ROWS rows of x.
template <int ROWS, typename T>
static inline void dot_rows(const T* w0, const T* w1, const float* x, int64_t in, float* to0, float* to1) {
    v16 sums0[ROWS] = {}, sums1[ROWS] = {};
    int64_t i = 0;
    for (; i + 16 <= in; i += 16) {
        const v16 a = load16(w0 + i), b = load16(w1 + i);
        for (int row = 0; row < ROWS; row++) {
            const v16 value = load16(x + row * in + i);
            sums0[row] += a * value;
            sums1[row] += b * value;
        }
    }
    for (int row = 0; row < ROWS; row++) {
        to0[row] = sum16(sums0[row]);
        to1[row] = sum16(sums1[row]);
        for (int64_t j = i; j < in; j++) {
            to0[row] += (float)w0[j] * x[row * in + j];
            to1[row] += (float)w1[j] * x[row * in + j];
        }
    }
}

template <typename T>
static inline void dot_some(const T* w0, const T* w1, const float* x, int64_t in, int64_t rows, float* to0,
                            float* to1) {
    switch (rows) {
        case 1: return dot_rows<1>(w0, w1, x, in, to0, to1);
        case 2: return dot_rows<2>(w0, w1, x, in, to0, to1);
        case 3: return dot_rows<3>(w0, w1, x, in, to0, to1);
        default: return dot_rows<4>(w0, w1, x, in, to0, to1);
    }
}

template <typename T>
static void multiply_rows(const Matrix& m, const float* x, float* y, int64_t rows, int64_t from, int64_t to) {
    const T* weight = (const T*)m.weight;
    for (int64_t o = from; o < to; o += 2) {
        const int64_t o1 = o + 1 < to ? o + 1 : o;
        const float scale0 = m.scales ? m.scales[o] : 1, scale1 = m.scales ? m.scales[o1] : 1;
        const float bias0 = m.bias ? m.bias[o] : 0, bias1 = m.bias ? m.bias[o1] : 0;
        for (int64_t row = 0; row < rows; row += 4) {
            float made0[4], made1[4];
            const int64_t count = rows - row < 4 ? rows - row : 4;
            dot_some(weight + o * m.in, weight + o1 * m.in, x + row * m.in, m.in, count, made0, made1);
            for (int64_t i = 0; i < count; i++) {
                y[(row + i) * m.out + o] = made0[i] * scale0 + bias0;
                y[(row + i) * m.out + o1] = made1[i] * scale1 + bias1;
            }
        }
    }
}

static const int64_t FEW_ROWS = 4;  // of one adapter; more of them go through tiles where there are some

#ifdef __AMX_BF16__
#include "tiles.h"
#else
static inline bool has_tiles(const Matrix&) { return false; }
static inline void pack_rows(const Matrix&, const Products&, const float*, int64_t, int64_t, int64_t) {}
static inline void multiply_tiles(const Matrix&, const Products&, float*, int64_t, int64_t, int64_t) {}
static inline bool is_tiled(const Matrix&, const Products&, const Use&, const Pair&) { return false; }
static inline bool lower_tiles(const Matrix&, const Products&, int64_t, int64_t) { return false; }
#endif

// low[row, part] = scale * A x. Threads share the rows of all A, two by two, each a run of neighbours.
template <typename T>
static void lower(const Matrix& m, const Products& p, const float* x, int64_t thread, int64_t threads) {
    int64_t turns = 0, turn = 0;
    for (int64_t u = 0; u < p.use_count; u++)
        for (int64_t part = 0; part < m.part_count; part++)
            turns += (p.uses[u].pairs[m.first_module + part].rank + 1) / 2;
    const int64_t from = turns * thread / threads, to = turns * (thread + 1) / threads;
    for (int64_t u = 0; u < p.use_count; u++) {
        const Use& use = p.uses[u];
        for (int64_t part = 0; part < m.part_count; part++) {
            const Pair& pair = use.pairs[m.first_module + part];
            if (is_tiled(m, p, use, pair)) {
                turn += (pair.rank + 1) / 2;
                continue;
            }
            for (int64_t j = 0; j < pair.rank; j += 2, turn++) {
                if (turn < from || turn >= to) continue;
                const int64_t j1 = j + 1 < pair.rank ? j + 1 : j;
                const T* a = (const T*)pair.a;
                for (int64_t row = use.first; row < use.first + use.count; row += 4) {
                    float made0[4], made1[4];
                    const int64_t left = use.first + use.count - row, count = left < 4 ? left : 4;
                    dot_some(a + j * m.in, a + j1 * m.in, x + row * m.in, m.in, count, made0, made1);
                    for (int64_t i = 0; i < count; i++) {
                        float* low = p.low + ((row + i) * MOST_PARTS + part) * p.widest;
                        low[j] = made0[i] * (float)use.scale;
                        low[j1] = made1[i] * (float)use.scale;
                    }
                }
            }
        }
    }
}

// 16 columns of ROWS rows of y.
template <int ROWS, typename T>
static inline void raise_block(const T* b, int64_t rank, const float* low, int64_t low_stride, float* y,
                               int64_t y_stride, int64_t columns) {
    v16 sums[ROWS];
    for (int row = 0; row < ROWS; row++) sums[row] = load_some(y + row * y_stride, columns);
    for (int64_t j = 0; j < rank; j++) {
        const v16 value = load16(b + j * 16);
        for (int row = 0; row < ROWS; row++) sums[row] += value * low[row * low_stride + j];
    }
    for (int row = 0; row < ROWS; row++) store_some(y + row * y_stride, sums[row], columns);
}

// y += B low for columns from..to, which begin at a multiple of 16 within each part.
template <typename T>
static void raise(const Matrix& m, const Products& p, float* y, int64_t from, int64_t to) {
    const int64_t stride = MOST_PARTS * p.widest;
    for (int64_t u = 0; u < p.use_count; u++) {
        const Use& use = p.uses[u];
        for (int64_t part = 0; part < m.part_count; part++) {
            const Pair& pair = use.pairs[m.first_module + part];
            if (!pair.rank) continue;
            const int64_t start = m.ends[part], stop = m.ends[part + 1];
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
    const bool tiles = has_tiles(m);
    if (p.pair_kind == BFLOAT16) lower<bf16>(m, p, x, thread, threads);
    else lower<float>(m, p, x, thread, threads);
    if (tiles) pack_rows(m, p, x, rows, thread, threads);
    if (tiles || p.use_count) wait_for_all();
    if (tiles && lower_tiles(m, p, thread, threads)) wait_for_all();
    const int64_t from = share(m, thread, threads), to = share(m, thread + 1, threads);
    if (tiles) multiply_tiles(m, p, y, rows, from, to);
    else if (m.kind == BFLOAT16) multiply_rows<bf16>(m, x, y, rows, from, to);
    else if (m.kind == INT8) multiply_rows<int8_t>(m, x, y, rows, from, to);
    else multiply_rows<float>(m, x, y, rows, from, to);
    if (p.pair_kind == BFLOAT16) raise<bf16>(m, p, y, from, to);
    else raise<float>(m, p, y, from, to);
}
