/*
 * What the programs that measure have in common: their clock, their end, and the check of what they receive.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* This node. */
static uint32_t me;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fail(const char *what, uint64_t number)
{
	fprintf(stderr, "node %u: %s %llu\n", me, what, (unsigned long long)number);
	exit(1);
}

/* Of the bytes behind the head, eight at a time, since it should cost little. */
static uint32_t checksum_of(const char *bytes, size_t count)
{
	uint64_t sum = count, word;

	for (; count >= sizeof(word); bytes += sizeof(word), count -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum = (sum ^ word) * 0x9E3779B97F4A7C15ULL;
	}
	for (; count > 0; bytes++, count--)
		sum = (sum ^ (unsigned char)*bytes) * 0x9E3779B97F4A7C15ULL;
	return (uint32_t)(sum >> 32);
}
