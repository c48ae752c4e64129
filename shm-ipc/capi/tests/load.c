/*
 * A load for closed process groups, of the functions of libcpg that everybody has: how long a message takes to come
 * back to its sender, and how many come through. The same binary runs over Corosync and over these libraries.
 *
 * load NODES BYTES SECONDS: every one of NODES programs joins the group and waits for the others. Then the one on the
 * lowest node sends alone, one message at a time (latency), and after that all of them send as fast as they may
 * (throughput). Every program checks what it receives: contents, and that each sender's messages are complete and in
 * order. Each prints one line; a wrong message ends it with 1.
 */
#include <corosync/cpg.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

enum { NODES_MAX = 64, SAMPLES_MAX = 2000000, BYTES_MAX = 1 << 20 };

/* What a message says: PING is sent alone, FLOOD by all, END once by each at the end of its part. */
enum { PING = 1, FLOOD, END };

/* Both engines and any program read this alike: they run on one machine. */
struct head {
	uint32_t kind;
	uint32_t checksum;
	uint64_t number;
	uint64_t sent_ns;
};

static struct sender {
	uint32_t nodeid;
	uint64_t next;
} senders[NODES_MAX];

static size_t senders_count, members_count, ended;
static uint32_t lowest, *samples_ns;
static size_t samples_count;
static uint64_t received, received_flood, first_ns, last_ns;
static cpg_handle_t cpg;

static void deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t nodeid, uint32_t pid, void *message,
		    size_t bytes)
{
	struct head head;
	struct sender *sender = senders;

	if (bytes < sizeof(head))
		fail("a short message of bytes:", bytes);
	memcpy(&head, message, sizeof(head));
	if (head.checksum != checksum_of((char *)message + sizeof(head), bytes - sizeof(head)))
		fail("wrong contents in message", head.number);
	while (sender < senders + senders_count && sender->nodeid != nodeid)
		sender++;
	if (sender == senders + senders_count) {
		if (senders_count == NODES_MAX)
			fail("more senders than", NODES_MAX);
		*sender = (struct sender){ .nodeid = nodeid };
		senders_count++;
	}
	if (head.number != sender->next++)
		fail("out of order: message", head.number);
	received++;
	if (head.kind == END) {
		ended++;
		return;
	}
	if (head.kind == FLOOD) {
		last_ns = now_ns();
		if (received_flood++ == 0)
			first_ns = last_ns;
	}
	if (nodeid == me && samples_count < SAMPLES_MAX)
		samples_ns[samples_count++] = (uint32_t)(now_ns() - head.sent_ns);
}

static void confchg(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *members, size_t count,
		    const struct cpg_address *left, size_t left_count, const struct cpg_address *joined,
		    size_t joined_count)
{
	members_count = count;
	lowest = count ? members[0].nodeid : 0;
}

/* Whether it was accepted. */
static int send_one(char *buffer, size_t bytes, uint32_t kind, uint64_t *number)
{
	struct head head = { kind, 0, *number, now_ns() };
	struct iovec piece = { buffer, bytes };
	cs_error_t result;

	head.checksum = checksum_of(buffer + sizeof(head), bytes - sizeof(head));
	memcpy(buffer, &head, sizeof(head));
	result = cpg_mcast_joined(cpg, CPG_TYPE_AGREED, &piece, 1);
	if (result == CS_ERR_TRY_AGAIN)
		return 0;
	if (result != CS_OK)
		fail("cpg_mcast_joined:", (uint64_t)result);
	(*number)++;
	return 1;
}

/* Takes what is there, waiting for it for at most so long. */
static void take(int wait_ms)
{
	struct pollfd poller = { .events = POLLIN };
	cs_error_t result;

	cpg_fd_get(cpg, &poller.fd);
	if (poll(&poller, 1, wait_ms) > 0) {
		result = cpg_dispatch(cpg, CS_DISPATCH_ALL);
		if (result != CS_OK)
			fail("cpg_dispatch:", (uint64_t)result);
	}
}

static int ascending(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* Of the latencies so far, in microseconds; they are forgotten. */
static void print_latency(const char *what)
{
	size_t count = samples_count;

	qsort(samples_ns, count, sizeof(*samples_ns), ascending);
	if (count)
		printf(" %s_us p50 %.1f p99 %.1f max %.1f", what, samples_ns[count / 2] / 1e3,
		       samples_ns[count * 99 / 100] / 1e3, samples_ns[count - 1] / 1e3);
	samples_count = 0;
}

int main(int argc, char **argv)
{
	cpg_callbacks_t callbacks = { deliver, confchg };
	struct cpg_name group = { 5, "load" };
	size_t nodes = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	double seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
	uint64_t number = 0, until;
	size_t seed = (size_t)getpid();
	char *buffer = malloc(BYTES_MAX);

	samples_ns = malloc(SAMPLES_MAX * sizeof(*samples_ns));
	if (nodes < 1 || nodes > NODES_MAX || bytes < sizeof(struct head) || bytes > BYTES_MAX || seconds <= 0) {
		fprintf(stderr, "usage: load NODES BYTES SECONDS, with %zu bytes at least\n", sizeof(struct head));
		return 2;
	}
	for (size_t i = 0; i < BYTES_MAX; i++)
		buffer[i] = (char)(i * 31 + seed);
	if (cpg_initialize(&cpg, &callbacks) != CS_OK || cpg_local_get(cpg, &me) != CS_OK ||
	    cpg_join(cpg, &group) != CS_OK)
		fail("no group:", 0);
	while (members_count < nodes)
		take(1000);
	printf("node %u:", me);
	if (me == lowest) {
		for (until = now_ns() + (uint64_t)(seconds * 1e9); now_ns() < until;) {
			uint64_t sent = number;

			while (!send_one(buffer, bytes, PING, &number))
				take(0);
			while (samples_count <= sent)
				take(1000);
		}
		printf(" pings %llu", (unsigned long long)number);
		print_latency("ping");
		while (!send_one(buffer, sizeof(struct head), END, &number))
			take(1);
	}
	while (ended < 1)
		take(1000);
	for (until = now_ns() + (uint64_t)(seconds * 1e9); now_ns() < until;)
		take(send_one(buffer, bytes, FLOOD, &number) ? 0 : 1);
	while (!send_one(buffer, sizeof(struct head), END, &number))
		take(1);
	while (ended < nodes + 1)
		take(1000);
	printf(" messages_per_s %.0f", (double)received_flood / ((double)(last_ns - first_ns) / 1e9));
	print_latency("flood");
	putchar('\n');
	return cpg_finalize(cpg) == CS_OK ? 0 : 1;
}
