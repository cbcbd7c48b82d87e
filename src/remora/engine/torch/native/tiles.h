// Products by AMX. A tile of a matrix is 16 of its rows and 64 bytes of them, as they lie; 16 rows of x are packed
// beside them; a tile of 16 x 16 sums comes out. Intel's Architecture Instruction Set Extensions reference has the
// layouts (TDPBF16PS, TDPBSSD, TDPBSUD).
//
// bfloat16 weights meet x as it is, for it was rounded to bfloat16. int8 weights meet x in 16 bits with a step for
// each row, in two halves: the upper byte signed, the lower one not, each exact in 32 bits up to 65,000 columns.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

// Linux lets a process use tiles only after it asked (arch_prctl(2), feature 18: XTILEDATA).
static bool ask_for_tiles() {
    const long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

static const bool TILES_ALLOWED = ask_for_tiles();
static const int64_t TILE_ROWS = 16, TILE_BYTES = 1024, LARGEST_STEP = 32512;  // 127 * 256

static inline int64_t tile_columns(const Matrix& m) { return m.kind == INT8 ? 64 : 32; }

static inline bool has_tiles(const Matrix& m) {
    bool whole = m.in % tile_columns(m) == 0;
    for (int64_t part = 0; part < m.part_count; part++) whole = whole && m.ends[part + 1] % TILE_ROWS == 0;
    return TILES_ALLOWED && m.kind != FLOAT32 && whole;
}

static inline int64_t groups_of(int64_t rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS; }

// x (16 rows, 32 columns) as (16 pairs of columns, 16 rows, 2).
static void pack_bf16(const float* x, int64_t in, __mmask16 there, uint8_t* to) {
    const i16 rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const __m512i offsets = (__m512i)(rows * (int32_t)in), upper = _mm512_set1_epi32((int)0xffff0000);
    for (int64_t pair = 0; pair < 16; pair++) {
        const __m512 none = _mm512_setzero_ps();
        const __m512 even = _mm512_mask_i32gather_ps(none, there, offsets, x + 2 * pair, sizeof(float));
        const __m512 odd = _mm512_mask_i32gather_ps(none, there, offsets, x + 2 * pair + 1, sizeof(float));
        const __m512i both = _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(even), 16),
                                             _mm512_and_si512(_mm512_castps_si512(odd), upper));
        _mm512_storeu_si512(to + pair * 64, both);
    }
}

// x (16 rows, 64 columns) in 16 bits as two of (16 fours of columns, 16 rows, 4): upper bytes, lower bytes.
static void pack_int16(const float* x, int64_t in, int64_t rows, const float* steps, uint8_t* upper,
                       uint8_t* lower) {
    memset(upper, 0, TILE_BYTES);
    memset(lower, 0, TILE_BYTES);
    for (int64_t row = 0; row < rows && row < TILE_ROWS; row++)
        for (int64_t i = 0; i < 64; i += 16) {
            const __m512 scaled = _mm512_mul_ps((__m512)load16(x + row * in + i), _mm512_set1_ps(1 / steps[row]));
            const __m512i whole = _mm512_cvtps_epi32(scaled);
            alignas(16) uint32_t fours[2][4];
            _mm_store_si128((__m128i*)fours[0], _mm512_cvtepi32_epi8(_mm512_srai_epi32(whole, 8)));
            _mm_store_si128((__m128i*)fours[1], _mm512_cvtepi32_epi8(whole));
            for (int64_t four = 0; four < 4; four++) {
                memcpy(upper + (i / 4 + four) * 64 + row * 4, &fours[0][four], 4);
                memcpy(lower + (i / 4 + four) * 64 + row * 4, &fours[1][four], 4);
            }
        }
}

static float step_of(const float* x, int64_t in) {
    v16 largest = {}, poison = {};
    for (int64_t i = 0; i < in; i += 16) {
        const v16 value = load16(x + i), size = value < 0.0f ? -value : value;
        largest = size > largest ? size : largest;
        poison += value * 0.0f;
    }
    float most = 1e-30f + sum16(poison);  // what is not a number stays none
    for (int i = 0; i < 16; i++) most = largest[i] > most ? largest[i] : most;
    return most / LARGEST_STEP;
}

// For each 16 rows and each tile of columns: one tile for bfloat16, the two halves for int8.
static void pack_rows(const Matrix& m, const Products& p, const float* x, int64_t rows, int64_t thread,
                      int64_t threads) {
    const int64_t columns = tile_columns(m), blocks = m.in / columns;
    for (int64_t group = 0; group < groups_of(rows); group++) {
        const float* from = x + group * TILE_ROWS * m.in;
        const int64_t left = rows - group * TILE_ROWS;
        uint8_t* to = (uint8_t*)p.packed + group * TILE_ROWS * m.in * 2;
        if (m.kind == BFLOAT16) {
            const __mmask16 there = left >= TILE_ROWS ? 0xffff : (__mmask16)((1 << left) - 1);
            for (int64_t block = thread; block < blocks; block += threads)
                pack_bf16(from + block * columns, m.in, there, to + block * TILE_BYTES);
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
        _tile_storeconfig(before);
        _tile_loadconfig(&shapes);
    }
    ~ConfiguredTiles() { _tile_loadconfig(before); }
};

// Tiles 0 to 3 are sums, of (2 of 16 columns) by (2 of 16 rows) or by (upper, lower).
static inline void begin_sums() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

template <typename T>
static inline void end_sums(T (&sums)[4][256]) {
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
}

// 16 columns of y, from `o` on, for up to 16 rows from sums (16 columns, 16 rows).
static inline v16 column(const float* sums) {
    const __m512i index = (__m512i)(i16{0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240});
    return (v16)_mm512_i32gather_ps(index, sums, sizeof(float));
}

static inline void put_bf16(const Matrix& m, const float* sums, float* y, int64_t o, int64_t rows) {
    const v16 bias = m.bias ? load16(m.bias + o) : v16{};
    for (int64_t row = 0; row < rows && row < TILE_ROWS; row++) store16(y + row * m.out + o, column(sums + row) + bias);
}

static inline void put_int8(const Matrix& m, const int32_t* upper, const int32_t* lower, const float* steps, float* y,
                            int64_t o, int64_t rows) {
    const v16 bias = m.bias ? load16(m.bias + o) : v16{}, scales = load16(m.scales + o);
    alignas(64) float sums[256];
    for (int64_t i = 0; i < 256; i += 16) {
        const i16 up = *(const i16*)(upper + i), low = *(const i16*)(lower + i);
        store16(sums + i, __builtin_convertvector(up, v16) * 256.0f + __builtin_convertvector(low, v16));
    }
    for (int64_t row = 0; row < rows && row < TILE_ROWS; row++)
        store16(y + row * m.out + o, column(sums + row) * scales * steps[row] + bias);
}

// 32 rows of the matrix (or 16, where `other` is the same again) against all rows of x, 32 at a time.
static void block_bf16(const Matrix& m, const Products& p, int64_t o, bool half, float* y, int64_t rows) {
    const int64_t blocks = m.in / 32, stride = m.in * 2;
    const uint8_t *weight = (const uint8_t*)m.weight + o * stride, *other = half ? weight : weight + 16 * stride;
    alignas(64) float sums[4][256];
    for (int64_t row = 0; row < rows; row += 32) {
        const uint8_t* x0 = (const uint8_t*)p.packed + row * m.in * 2;
        const bool two = row + 16 < rows;
        const uint8_t* x1 = two ? x0 + 16 * m.in * 2 : x0;
        begin_sums();
        for (int64_t block = 0; block < blocks; block++) {
            _tile_loadd(4, weight + block * 64, stride);
            _tile_loadd(6, x0 + block * TILE_BYTES, 64);
            _tile_loadd(5, other + block * 64, stride);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 5, 6);
            if (two) {
                _tile_loadd(7, x1 + block * TILE_BYTES, 64);
                _tile_dpbf16ps(2, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
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
            _tile_loadd(4, weight + block * 64, stride);
            _tile_loadd(6, x + block * 2 * TILE_BYTES, 64);
            _tile_loadd(5, other + block * 64, stride);
            _tile_loadd(7, x + (block * 2 + 1) * TILE_BYTES, 64);
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(1, 5, 6);
            _tile_dpbsud(2, 4, 7);
            _tile_dpbsud(3, 5, 7);
        }
        end_sums(sums);
        for (int64_t part = 0; part < (half ? 1 : 2); part++)
            put_int8(m, sums[part], sums[2 + part], p.steps + row, y + row * m.out, o + part * 16, rows - row);
    }
}

// Whether A's rows, for many rows of one adapter, are tiles as the matrix's are.
static inline bool is_tiled(const Matrix& m, const Products& p, const Use& use, const Pair& pair) {
    return use.count > FEW_ROWS && m.kind == BFLOAT16 && p.pair_kind == BFLOAT16 && has_tiles(m) &&
           pair.rank % TILE_ROWS == 0;
}

// low for 16 rows of A and those of 16 packed rows that are of this use.
static void lower_tile(const Matrix& m, const Products& p, const Use& use, const Pair& pair, int64_t part, int64_t j,
                       int64_t group) {
    const uint8_t* a = (const uint8_t*)pair.a + j * m.in * 2;
    const uint8_t* x = (const uint8_t*)p.packed + group * TILE_ROWS * m.in * 2;
    alignas(64) float sums[256];
    _tile_zero(0);
    for (int64_t block = 0; block < m.in / 32; block++) {
        _tile_loadd(4, a + block * 64, m.in * 2);
        _tile_loadd(6, x + block * TILE_BYTES, 64);
        _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, sums, 64);
    for (int64_t i = 0; i < TILE_ROWS; i++) {
        const int64_t row = group * TILE_ROWS + i;
        if (row >= use.first && row < use.first + use.count)
            store16(p.low + (row * MOST_PARTS + part) * p.widest + j, column(sums + i) * (float)use.scale);
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

static void multiply_tiles(const Matrix& m, const Products& p, float* y, int64_t rows, int64_t from, int64_t to) {
    const ConfiguredTiles configured;
    for (int64_t o = from; o < to; o += 32)
        if (m.kind == INT8) block_int8(m, p, o, o + 32 > to, y, rows);
        else block_bf16(m, p, o, o + 32 > to, y, rows);
}
