// The operations of AMX that tiles.h uses, in plain C++, so that what it does with them runs on every processor.
// A tile that is used while none are configured ends the process, as it does there.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const bool TILES_ALLOWED = true;
static thread_local uint8_t test_tiles[8][16][64];
static thread_local uint8_t test_shapes[64];  // zeros: none

static inline void tile_store_shapes(void* to) { memcpy(to, test_shapes, 64); }

static inline void tile_load_shapes(const void* from) {
    memcpy(test_shapes, from, 64);
    memset(test_tiles, 0xff, sizeof test_tiles);
}

static inline uint8_t (*test_tile(int tile))[64] {
    uint16_t bytes;
    memcpy(&bytes, test_shapes + 16 + 2 * tile, 2);
    if (test_shapes[0] != 1 || bytes != 64 || test_shapes[48 + tile] != 16) abort();
    return test_tiles[tile];
}

static inline void tile_zero(int tile) { memset(test_tile(tile), 0, 1024); }

static inline void tile_load(int tile, const void* from, int64_t stride) {
    for (int row = 0; row < 16; row++) memcpy(test_tile(tile)[row], (const uint8_t*)from + row * stride, 64);
}

static inline void tile_store(int tile, void* to, int64_t stride) {
    for (int row = 0; row < 16; row++) memcpy((uint8_t*)to + row * stride, test_tile(tile)[row], 64);
}

// C[row][column] += a row of A, in pairs or fours of 32 bits, by those of B's column.
template <typename Sum, typename A, typename B, typename Value>
static inline void test_product(int to, int a, int b) {
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 16; column++) {
            Sum sum;
            memcpy(&sum, &test_tile(to)[row][column * 4], 4);
            for (int k = 0; k < 16; k++)
                for (size_t i = 0; i < 4 / sizeof(A); i++) {
                    A left;
                    B right;
                    memcpy(&left, &test_tile(a)[row][k * 4 + i * sizeof(A)], sizeof(A));
                    memcpy(&right, &test_tile(b)[k][column * 4 + i * sizeof(B)], sizeof(B));
                    sum += (Value)left * (Value)right;
                }
            memcpy(&test_tile(to)[row][column * 4], &sum, 4);
        }
}

static inline void tile_add_bf16(int to, int a, int b) { test_product<float, bf16, bf16, float>(to, a, b); }
static inline void tile_add_signed(int to, int a, int b) { test_product<int32_t, int8_t, int8_t, int32_t>(to, a, b); }
static inline void tile_add_unsigned(int to, int a, int b) { test_product<int32_t, int8_t, uint8_t, int32_t>(to, a, b); }
