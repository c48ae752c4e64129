/*
 * A member of a group that says what it sees, and sends what it is told to: a client of a node for as long as somebody
 * measures. Only functions of libcpg that everybody has: one binary runs over Corosync and over these libraries.
 *
 * member GROUP: joins, again and again while there is no engine. Says on standard output, with the time of the
 * monotonic clock in nanoseconds:
 *   view NS COUNT      the group has so many members now
 *   lost NS            the engine is gone
 *   sent PHASE COUNT   everything of a phase has been sent
 *   got PHASE COUNT FIRST_NS LAST_NS HASH BUCKET:COUNT ...
 *                      what has been received in the last phase: how many, when, a hash over their order, and how late
 *                      they came, as counts by bucket (see bucket_of)
 * and does what standard input says, a line at a time; at its end it ends:
 *   rate PHASE PER_SECOND SECONDS BYTES    messages at fixed times; lateness counts from when each was due
 *   flood PHASE SECONDS BYTES              messages as fast as they may be sent
 *   report                                 say what was received
 * Of every message contents and order are checked; a wrong one ends the program with 1.
 */
#define _GNU_SOURCE
#include <corosync/cpg.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

enum { SENDERS_MAX = 256, BYTES_MAX = 1 << 20, BUCKETS = 64 * 32, RETRY_NS = 10000000, TRY_AGAIN_NS = 1000000 };

/* Everybody reads this alike: they run on one machine. */
struct head {
	uint32_t phase;
	uint32_t checksum;
	uint64_t number;
	uint64_t sent_ns;
};

static struct sender {
	uint32_t nodeid, pid;
	uint64_t next;
} senders[SENDERS_MAX];

static struct {
	uint32_t phase;
	uint64_t count, first_ns, last_ns, hash;
	uint32_t late[BUCKETS];
} got;

/* What is being sent. */
static struct {
	int is_on;
	uint32_t phase;
	uint64_t number, start_ns, until_ns, gap_ns;
	size_t bytes;
} sending;

static size_t senders_count;
static cpg_handle_t cpg;
static char buffer[BYTES_MAX], input[4096];
static size_t input_count;

/* Bucket of a time: 32 between each power of two and the next, so it is known to 3 %. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned shift = ns < 32 ? 0 : 58 - (unsigned)__builtin_clzll(ns);

	return shift * 32 + (unsigned)(ns >> shift);
}

static struct sender *sender_of(uint32_t nodeid, uint32_t pid)
{
	struct sender *sender = senders;

	while (sender < senders + senders_count && (sender->nodeid != nodeid || sender->pid != pid))
		sender++;
	if (sender == senders + senders_count) {
		if (senders_count == SENDERS_MAX)
			fail("more senders than", SENDERS_MAX);
		*sender = (struct sender){ .nodeid = nodeid, .pid = pid };
		senders_count++;
	}
	return sender;
}

static void deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t nodeid, uint32_t pid, void *message,
		    size_t bytes)
{
	uint64_t now = now_ns();
	struct head head;

	if (bytes < sizeof(head))
		fail("a short message of bytes:", bytes);
	memcpy(&head, message, sizeof(head));
	if (head.checksum != checksum_of((char *)message + sizeof(head), bytes - sizeof(head)))
		fail("wrong contents in message", head.number);
	if (head.phase < got.phase)
		fail("a message of an earlier phase:", head.phase);
	if (head.phase > got.phase) {
		memset(&got, 0, sizeof(got));
		got.phase = head.phase;
		got.first_ns = now;
		senders_count = 0;
	}
	if (head.number != sender_of(nodeid, pid)->next++)
		fail("out of order: message", head.number);
	got.count++;
	got.last_ns = now;
	got.hash = (got.hash ^ ((uint64_t)nodeid << 40) ^ head.number) * 0x9E3779B97F4A7C15ULL;
	got.late[bucket_of(now > head.sent_ns ? now - head.sent_ns : 0)]++;
}

static void confchg(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *members, size_t count,
		    const struct cpg_address *left, size_t left_count, const struct cpg_address *joined,
		    size_t joined_count)
{
	printf("view %llu %zu\n", (unsigned long long)now_ns(), count);
}

static void report(void)
{
	printf("got %u %llu %llu %llu %llu", got.phase, (unsigned long long)got.count,
	       (unsigned long long)got.first_ns, (unsigned long long)got.last_ns, (unsigned long long)got.hash);
	for (unsigned bucket = 0; bucket < BUCKETS; bucket++)
		if (got.late[bucket])
			printf(" %u:%u", bucket, got.late[bucket]);
	putchar('\n');
}

static void obey(const char *line)
{
	double seconds;
	unsigned long per_second;

	memset(&sending, 0, sizeof(sending));
	if (sscanf(line, "rate %u %lu %lf %zu", &sending.phase, &per_second, &seconds, &sending.bytes) == 4 &&
	    per_second > 0)
		sending.gap_ns = 1000000000 / per_second;
	else if (sscanf(line, "flood %u %lf %zu", &sending.phase, &seconds, &sending.bytes) != 3)
		sending.bytes = 0;
	if (sending.bytes >= sizeof(struct head) && sending.bytes <= BYTES_MAX) {
		sending.is_on = 1;
		/* Nodes do not send at the same moments. */
		sending.start_ns = now_ns() + sending.gap_ns * (me % 16) / 16;
		sending.until_ns = sending.start_ns + (uint64_t)(seconds * 1e9);
	} else if (strcmp(line, "report") == 0) {
		report();
	} else {
		fprintf(stderr, "not understood: %s\n", line);
		exit(2);
	}
}

/* Takes what standard input has. */
static void listen_to(short events)
{
	char *end;
	ssize_t count;

	if (!events)
		return;
	count = read(0, input + input_count, sizeof(input) - 1 - input_count);
	if (count <= 0)
		exit(0);
	input_count += (size_t)count;
	while ((end = memchr(input, '\n', input_count))) {
		*end = '\0';
		obey(input);
		input_count -= (size_t)(end + 1 - input);
		memmove(input, end + 1, input_count);
	}
}

/* Sends what is due, one message at most. Returns for how long there is nothing more to send. */
static uint64_t send_due(void)
{
	uint64_t now = now_ns(), due = sending.start_ns + sending.number * sending.gap_ns;
	struct head head = { sending.phase, 0, sending.number, sending.gap_ns ? due : now };
	struct iovec piece = { buffer, sending.bytes };
	cs_error_t result;

	if (!sending.is_on)
		return UINT64_MAX;
	if ((sending.gap_ns ? due : now) >= sending.until_ns) {
		sending.is_on = 0;
		printf("sent %u %llu\n", sending.phase, (unsigned long long)sending.number);
		return UINT64_MAX;
	}
	if (sending.gap_ns && now < due)
		return due - now;
	head.checksum = checksum_of(buffer + sizeof(head), sending.bytes - sizeof(head));
	memcpy(buffer, &head, sizeof(head));
	result = cpg_mcast_joined(cpg, CPG_TYPE_AGREED, &piece, 1);
	if (result == CS_ERR_TRY_AGAIN)
		return TRY_AGAIN_NS;
	if (result != CS_OK)
		fail("cpg_mcast_joined:", (uint64_t)result);
	sending.number++;
	return 0;
}

/* Waits for the engine, for standard input, or until so much time has passed. */
static cs_error_t wait_for(uint64_t wait_ns, int fd)
{
	struct pollfd pollers[2] = { { .fd = 0, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	struct timespec timeout = { (time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000) };

	fflush(stdout);
	if (ppoll(pollers, 2, wait_ns == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
		return CS_OK;
	listen_to(pollers[0].revents);
	return pollers[1].revents ? cpg_dispatch(cpg, CS_DISPATCH_ALL) : CS_OK;
}

static void join(const char *name)
{
	cpg_callbacks_t callbacks = { deliver, confchg };
	struct cpg_name group = { .length = (uint32_t)strlen(name) };

	memcpy(group.value, name, group.length);
	for (;;) {
		if (cpg_initialize(&cpg, &callbacks) == CS_OK) {
			if (cpg_local_get(cpg, &me) == CS_OK && cpg_join(cpg, &group) == CS_OK)
				return;
			cpg_finalize(cpg);
		}
		wait_for(RETRY_NS, -1);
	}
}

int main(int argc, char **argv)
{
	size_t seed = (size_t)getpid();
	cs_error_t result;
	int fd;

	if (argc != 2 || strlen(argv[1]) > CPG_MAX_NAME_LENGTH) {
		fprintf(stderr, "usage: member GROUP\n");
		return 2;
	}
	for (size_t i = 0; i < BYTES_MAX; i++)
		buffer[i] = (char)(i * 31 + seed);
	for (;;) {
		join(argv[1]);
		cpg_fd_get(cpg, &fd);
		do
			result = wait_for(send_due(), fd);
		while (result == CS_OK || result == CS_ERR_TRY_AGAIN);
		printf("lost %llu\n", (unsigned long long)now_ns());
		cpg_finalize(cpg);
	}
}
