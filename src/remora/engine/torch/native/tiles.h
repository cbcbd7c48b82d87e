// Products by AMX. A tile of a matrix is 16 of its rows and 64 bytes of them, as they lie; 16 rows of x are packed
// beside them; a tile of 16 x 16 sums comes out. Intel's Architecture Instruction Set Extensions reference has the
// layouts (TDPBF16PS, TDPBSSD, TDPBSUD).
//
// bfloat16 weights meet x as it is, for it was rounded to bfloat16. int8 weights meet x in 16 bits with a step for
// each row, in two halves: the upper byte signed, the lower one not, each exact in 32 bits up to 65,000 columns.
#pragma once

#ifdef REMORA_TEST_TILES
#include "test_tiles.h"  // the same operations in plain C++
#else
#include <sys/syscall.h>
#include <unistd.h>

#define tile_zero _tile_zero
#define tile_load _tile_loadd
#define tile_store _tile_stored
#define tile_add_bf16 _tile_dpbf16ps
#define tile_add_signed _tile_dpbssd
#define tile_add_unsigned _tile_dpbsud
#define tile_store_shapes _tile_storeconfig
#define tile_load_shapes _tile_loadconfig

// Linux lets a process use tiles only after it asked (arch_prctl(2), feature 18: XTILEDATA).
static bool ask_for_tiles() {
    const long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

static const bool TILES_ALLOWED = ask_for_tiles();
#endif


static const int64_t TILE_ROWS = 16, TILE_BYTES = 1024;

static inline int64_t tile_columns(const Matrix& m) { return m.kind == INT8 ? 64 : 32; }

// Four bits are dequantised to bfloat16 for tiles, so not where activations are float32.
static inline bool has_tiles(const Matrix& m, const Products& p) {
    bool whole = m.in % tile_columns(m) == 0;
    for (int64_t part = 0; part < m.part_count; part++) whole = whole && m.ends[part + 1] % TILE_ROWS == 0;
    return TILES_ALLOWED && m.kind != FLOAT32 && (!has_codes(m) || p.pair_kind == BFLOAT16) && whole;
}

static inline int64_t groups_of(int64_t rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS; }

// x (16 rows, 32 columns) as (16 pairs of columns, 16 rows, 2); zeros for rows that are not there.
static void pack_bf16(const float* x, int64_t in, int64_t rows, uint8_t* to) {
    for (int64_t pair = 0; pair < 16; pair++)
        for (int64_t row = 0; row < TILE_ROWS; row += WIDTH) {
            const float* from = x + row * in + 2 * pair;
            const vec even = load_apart(from, in, rows - row), odd = load_apart(from + 1, in, rows - row);
            const uvec both = (uvec)even >> 16 | ((uvec)odd & 0xffff0000);
            memcpy(to + pair * 64 + row * 4, &both, sizeof both);
        }
}

// x (16 rows, 64 columns) in 16 bits as two of (16 fours of columns, 16 rows, 4): upper bytes, lower bytes.
static void pack_int16(const float* x, int64_t in, int64_t rows, const float* steps, uint8_t* upper,
                       uint8_t* lower) {
    memset(upper, 0, TILE_BYTES);
    memset(lower, 0, TILE_BYTES);
    for (int64_t row = 0; row < rows && row < TILE_ROWS; row++)
        for (int64_t i = 0; i < 64; i += WIDTH) {
            const ivec whole = nearest(load(x + row * in + i) * (1 / steps[row]));
            const bytes up = __builtin_convertvector(whole >> 8, bytes), low = __builtin_convertvector(whole, bytes);
            for (int64_t four = 0; four < WIDTH / 4; four++) {
                memcpy(upper + (i / 4 + four) * 64 + row * 4, (const uint8_t*)&up + four * 4, 4);
                memcpy(lower + (i / 4 + four) * 64 + row * 4, (const uint8_t*)&low + four * 4, 4);
            }
        }
}

// For each 16 rows and each tile of columns: one tile for bfloat16, the two halves for int8.
static void pack_rows(const Matrix& m, const Products& p, const float* x, int64_t rows, int64_t thread,
                      int64_t threads) {
    const int64_t columns = tile_columns(m), blocks = m.in / columns;
    for (int64_t group = 0; group < groups_of(rows); group++) {
        const float* from = x + group * TILE_ROWS * m.in;
        const int64_t left = rows - group * TILE_ROWS;
        uint8_t* to = (uint8_t*)p.packed + group * TILE_ROWS * m.in * 2;
        if (m.kind != INT8) {
            for (int64_t block = thread; block < blocks; block += threads)
                pack_bf16(from + block * columns, m.in, left, to + block * TILE_BYTES);
            continue;
        }
        float steps[TILE_ROWS];  // each thread needs them all
        for (int64_t row = 0; row < left && row < TILE_ROWS; row++) steps[row] = step_of(from + row * m.in, m.in);
        if (thread == 0) memcpy(p.steps + group * TILE_ROWS, steps, sizeof steps);
        for (int64_t block = thread; block < blocks; block += threads)
            pack_int16(from + block * columns, m.in, left, steps, to + block * 2 * TILE_BYTES,
                       to + (block * 2 + 1) * TILE_BYTES);
    }
}

struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles as we need them, and what oneDNN had configured in this thread again at the end.
struct ConfiguredTiles {
    alignas(64) uint8_t before[64];
    ConfiguredTiles() {
        const TileShapes shapes;
        tile_store_shapes(before);
        tile_load_shapes(&shapes);
    }
    ~ConfiguredTiles() { tile_load_shapes(before); }
};

// Tiles 0 to 3 are sums, of (2 of 16 columns) by (2 of 16 rows) or by (upper, lower).
static inline void begin_sums() {
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
}

template <typename T>
static inline void end_sums(T (&sums)[4][256]) {
    tile_store(0, sums[0], 64);
    tile_store(1, sums[1], 64);
    tile_store(2, sums[2], 64);
    tile_store(3, sums[3], 64);
}

// WIDTH columns of a row of y from sums (16 columns, 16 rows).
static inline vec columns_of(const float* sums, int64_t row, int64_t column) {
    return load_apart(sums + column * TILE_ROWS + row, TILE_ROWS, WIDTH);
}

// 16 columns of y, from `o` on, for up to 16 rows.
static inline void put_bf16(const Matrix& m, const float* sums, float* y, int64_t o, int64_t rows) {
    for (int64_t column = 0; column < 16; column += WIDTH) {
        const vec bias = m.bias ? load(m.bias + o + column) : vec{};
        for (int64_t row = 0; row < rows && row < TILE_ROWS; row++)
            store(y + row * m.out + o + column, columns_of(sums, row, column) + bias);
    }
}

static inline void put_int8(const Matrix& m, const int32_t* upper, const int32_t* lower, const float* steps, float* y,
                            int64_t o, int64_t rows) {
    alignas(64) float sums[256];
    for (int64_t i = 0; i < 256; i++) sums[i] = (float)upper[i] * 256.0f + (float)lower[i];
    for (int64_t column = 0; column < 16; column += WIDTH) {
        const vec bias = m.bias ? load(m.bias + o + column) : vec{}, scales = load(m.scales + o + column);
        for (int64_t row = 0; row < rows && row < TILE_ROWS; row++)
            store(y + row * m.out + o + column, columns_of(sums, row, column) * scales * steps[row] + bias);
    }
}

// 32 rows of the matrix (or 16, where `other` is the same again) against all rows of x, 32 at a time.
static void block_bf16(const Matrix& m, const Products& p, const uint8_t* weight, int64_t o, bool half, float* y,
                       int64_t rows) {
    const int64_t blocks = m.in / 32, stride = m.in * 2;
    const uint8_t* other = half ? weight : weight + 16 * stride;
    alignas(64) float sums[4][256];
    for (int64_t row = 0; row < rows; row += 32) {
        const uint8_t* x0 = (const uint8_t*)p.packed + row * m.in * 2;
        const bool two = row + 16 < rows;
        const uint8_t* x1 = two ? x0 + 16 * m.in * 2 : x0;
        begin_sums();
        for (int64_t block = 0; block < blocks; block++) {
            tile_load(4, weight + block * 64, stride);
            tile_load(6, x0 + block * TILE_BYTES, 64);
            tile_load(5, other + block * 64, stride);
            tile_add_bf16(0, 4, 6);
            tile_add_bf16(1, 5, 6);
            if (two) {
                tile_load(7, x1 + block * TILE_BYTES, 64);
                tile_add_bf16(2, 4, 7);
                tile_add_bf16(3, 5, 7);
            }
        }
        end_sums(sums);
        for (int64_t group = 0; group < (two ? 2 : 1); group++)
            for (int64_t part = 0; part < (half ? 1 : 2); part++)
                put_bf16(m, sums[2 * group + part], y + (row + group * 16) * m.out, o + part * 16,
                         rows - row - group * 16);
    }
}

// The same with int8 weights, 16 rows of x at a time in their two halves.
static void block_int8(const Matrix& m, const Products& p, int64_t o, bool half, float* y, int64_t rows) {
    const int64_t blocks = m.in / 64, stride = m.in;
    const uint8_t *weight = (const uint8_t*)m.weight + o * stride, *other = half ? weight : weight + 16 * stride;
    alignas(64) int32_t sums[4][256];
    for (int64_t row = 0; row < rows; row += 16) {
        const uint8_t* x = (const uint8_t*)p.packed + row * m.in * 2;
        begin_sums();
        for (int64_t block = 0; block < blocks; block++) {
            tile_load(4, weight + block * 64, stride);
            tile_load(6, x + block * 2 * TILE_BYTES, 64);
            tile_load(5, other + block * 64, stride);
            tile_load(7, x + (block * 2 + 1) * TILE_BYTES, 64);
            tile_add_signed(0, 4, 6);
            tile_add_signed(1, 5, 6);
            tile_add_unsigned(2, 4, 7);
            tile_add_unsigned(3, 5, 7);
        }
        end_sums(sums);
        for (int64_t part = 0; part < (half ? 1 : 2); part++)
            put_int8(m, sums[part], sums[2 + part], p.steps + row, y + row * m.out, o + part * 16, rows - row);
    }
}

// Whether A's rows, for many rows of one adapter, are tiles as the matrix's are.
static inline bool is_tiled(const Matrix& m, const Products& p, const Use& use, const Pair& pair) {
    return use.count > FEW_ROWS && m.kind != INT8 && p.pair_kind == BFLOAT16 && has_tiles(m, p) &&
           pair.rank % TILE_ROWS == 0;
}

// low for 16 rows of A and those of 16 packed rows that are of this use.
static void lower_tile(const Matrix& m, const Products& p, const Use& use, const Pair& pair, int64_t part, int64_t j,
                       int64_t group) {
    const uint8_t* a = (const uint8_t*)pair.a + j * m.in * 2;
    const uint8_t* x = (const uint8_t*)p.packed + group * TILE_ROWS * m.in * 2;
    alignas(64) float sums[256];
    tile_zero(0);
    for (int64_t block = 0; block < m.in / 32; block++) {
        tile_load(4, a + block * 64, m.in * 2);
        tile_load(6, x + block * TILE_BYTES, 64);
        tile_add_bf16(0, 4, 6);
    }
    tile_store(0, sums, 64);
    for (int64_t i = 0; i < TILE_ROWS; i++) {
        const int64_t row = group * TILE_ROWS + i;
        if (row < use.first || row >= use.first + use.count) continue;
        for (int64_t column = 0; column < 16; column += WIDTH)
            store(p.low + (row * MOST_PARTS + part) * p.widest + j + column, columns_of(sums, i, column) * (float)use.scale);
    }
}

// low of all that `lower` leaves out, threads in turns; whether there is any.
static bool lower_tiles(const Matrix& m, const Products& p, int64_t thread, int64_t threads) {
    int64_t turn = 0;
    for (int64_t u = 0; u < p.use_count; u++) {
        const Use& use = p.uses[u];
        const int64_t first = use.first / TILE_ROWS, last = (use.first + use.count - 1) / TILE_ROWS;
        for (int64_t part = 0; part < m.part_count; part++) {
            const Pair& pair = use.pairs[m.first_module + part];
            if (!pair.rank || !is_tiled(m, p, use, pair)) continue;
            const ConfiguredTiles configured;
            for (int64_t j = 0; j < pair.rank; j += TILE_ROWS)
                for (int64_t group = first; group <= last; group++)
                    if (turn++ % threads == thread) lower_tile(m, p, use, pair, part, j, group);
        }
    }
    return turn > 0;
}

static void multiply_tiles(const Matrix& m, const Products& p, float* y, int64_t rows, int64_t from, int64_t to,
                           int64_t thread) {
    const ConfiguredTiles configured;
    for (int64_t o = from; o < to; o += 32) {
        const bool half = o + 32 > to;
        if (m.kind == INT8) {
            block_int8(m, p, o, half, y, rows);
        } else if (m.kind == BFLOAT16) {
            block_bf16(m, p, (const uint8_t*)m.weight + o * m.in * 2, o, half, y, rows);
        } else {
            uint16_t* panel = p.panels + thread * 32 * m.in;
            dequantize(m.weight, blocks_of(m), o * m.in, (half ? 16 : 32) * m.in, (bf16*)panel);
            block_bf16(m, p, (const uint8_t*)panel, o, half, y, rows);
        }
    }
}
