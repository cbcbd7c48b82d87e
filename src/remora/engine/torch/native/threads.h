// The threads that compute a step together: torch's own, by OpenMP.
#pragma once

#include <stdint.h>

#ifdef REMORA_TEST_THREADS
#include "test_threads.h"  // threads that ThreadSanitizer knows
#else
#include <omp.h>

// Each of as many threads as come, which may be fewer than were asked for, does work(thread, threads).
template <typename Work>
static void in_parallel(int64_t asked, const Work& work) {
#pragma omp parallel num_threads(asked)
    work((int64_t)omp_get_thread_num(), (int64_t)omp_get_num_threads());
}

static inline void wait_for_all() {
#pragma omp barrier
}
#endif
