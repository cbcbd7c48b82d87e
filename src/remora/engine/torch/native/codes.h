// Numbers in four bits: those of nf4 (layers/nf4.py) and whole ones with an offset (layers/int4.py).
#pragma once

#include "vectors.h"

// 16 bytes are the codes of 32 numbers, those of the first half in the lower bits. A block has a scale, and an offset
// perhaps: its sixteen values are made once, so a number costs one look-up.
static const int64_t CODE_GROUP = 32;
alignas(64) static const float NF4_VALUES[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};
alignas(64) static const float INT4_VALUES[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// What codes of a matrix mean. Blocks have 2^shift numbers, 32 or more.
struct Blocks {
    const float *values, *scales, *offsets;  // offsets: null where they are 0
    int shift;
};

struct BlockValues {
    vec of[16 / WIDTH];
    // Of the block with this number, rounded to a kind of numbers.
    BlockValues(const Blocks& blocks, int64_t number, int64_t kind) {
        const int64_t block = number >> blocks.shift;
        const float scale = blocks.scales[block], offset = blocks.offsets ? blocks.offsets[block] : 0.0f;
        for (int i = 0; i < 16 / WIDTH; i++) of[i] = rounded(load(blocks.values + i * WIDTH) * scale + offset, kind);
    }
    // The numbers of a group, in their order.
    void look_up(const uint8_t* codes, vec (&to)[CODE_GROUP / WIDTH]) const {
#if defined(REMORA_AVX512)
        const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)codes));
        to[0] = (vec)_mm512_permutexvar_ps(wide, (__m512)of[0]);  // which looks at four bits alone
        to[1] = (vec)_mm512_permutexvar_ps(_mm512_srli_epi32(wide, 4), (__m512)of[0]);
#elif defined(REMORA_AVX2)
        for (int half = 0; half < 2; half++) {
            const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(codes + 8 * half)));
            to[half] = one_of_two(wide), to[2 + half] = one_of_two(_mm256_srli_epi32(wide, 4));
        }
#else
        for (int i = 0; i < CODE_GROUP; i++) {
            const int code = i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
            to[i / WIDTH][i % WIDTH] = of[code / WIDTH][code % WIDTH];
        }
#endif
    }
#if defined(REMORA_AVX2)
    vec one_of_two(__m256i code) const {
        const __m256 low = _mm256_permutevar8x32_ps((__m256)of[0], code), high = _mm256_permutevar8x32_ps((__m256)of[1], code);
        return (vec)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
    }
#endif
};

// Codes of a matrix whose blocks have STEP numbers, or a multiple of them. Places are counted in numbers, and rows
// begin with a block.
template <int64_t STEP> struct codes {};

// As `dots` of matrix.h. A sum has its terms in the order that they have where the numbers are dequantised first.
template <int W, int R, int64_t STEP>
static inline void dots(const codes<STEP>* w, const Blocks& blocks, const int64_t (&at)[W], const float* x, int64_t in,
                        int64_t count, float (&made)[W][R]) {
    vec sums[W][R] = {};
    for (int64_t i = 0; i < count; i += STEP)
#pragma GCC unroll 8
        for (int j = 0; j < W; j++) {
            const BlockValues values(blocks, at[j] + i, FLOAT32);
            for (int64_t k = i; k < i + STEP; k += CODE_GROUP) {
                vec numbers[CODE_GROUP / WIDTH];
                values.look_up((const uint8_t*)w + (at[j] + k) / 2, numbers);
#pragma GCC unroll 8
                for (int row = 0; row < R; row++)
#pragma GCC unroll 8
                    for (int v = 0; v < CODE_GROUP / WIDTH; v++)
                        sums[j][row] = add_product(sums[j][row], numbers[v], load(x + row * in + k + v * WIDTH));
            }
        }
#pragma GCC unroll 8
    for (int j = 0; j < W; j++)
#pragma GCC unroll 8
        for (int row = 0; row < R; row++) made[j][row] = sum(sums[j][row]);
}

static inline void put(float* to, vec value) { store(to, value); }

static inline void put(bf16* to, vec value) {
    const half_uvec made = __builtin_convertvector((uvec)value >> 16, half_uvec);
    memcpy(to, &made, sizeof made);
}

// `count` numbers from `first` on, where a block begins: as floats, or as bfloat16 for tiles.
template <typename T>
static inline void dequantize(const void* w, const Blocks& blocks, int64_t first, int64_t count, T* to) {
    const int64_t block = (int64_t)1 << blocks.shift;
    for (int64_t i = 0; i < count; i += block) {
        const BlockValues values(blocks, first + i, sizeof(T) == 2 ? BFLOAT16 : FLOAT32);
        for (int64_t k = i; k < i + block; k += CODE_GROUP) {
            vec numbers[CODE_GROUP / WIDTH];
            values.look_up((const uint8_t*)w + (first + k) / 2, numbers);
            for (int v = 0; v < CODE_GROUP / WIDTH; v++) put(to + k + v * WIDTH, numbers[v]);
        }
    }
}
