// A team of plain threads, whose barriers ThreadSanitizer understands; those of OpenMP it does not.
#pragma once

#include <pthread.h>

#include <thread>
#include <vector>

static pthread_barrier_t all_came;

template <typename Work>
static void in_parallel(int64_t asked, const Work& work) {
    pthread_barrier_init(&all_came, nullptr, (unsigned)asked);
    std::vector<std::thread> others;
    for (int64_t thread = 1; thread < asked; thread++) others.emplace_back([&, thread] { work(thread, asked); });
    work(0, asked);
    for (std::thread& other : others) other.join();
    pthread_barrier_destroy(&all_came);
}

static inline void wait_for_all() { pthread_barrier_wait(&all_came); }
